// The package, as somebody gets it: packed, unpacked elsewhere, compiled against and bundled.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { build } from "esbuild";
import { HERE } from "../files.mjs";

const APP = `
import { demur, type Refusal, type Session } from "demur";
import { install as axiosToo } from "demur/hands/axios";
import { interceptor } from "demur/hands/angular";
import { install as htmxToo } from "demur/hands/htmx";
import { install as jQueryToo } from "demur/hands/jquery";
import { fetchOk, install as queryToo, retry } from "demur/hands/query";
import { session as ofReact } from "demur/hands/react";
import { session as store } from "demur/hands/svelte";
import { session as ofVue } from "demur/hands/vue";

demur.install({ warn: 300, off: "drafts" });
const off: () => void = demur.on("refused", ({ detail }) => console.log((detail.refusal as Refusal).reason));
export const person = async (): Promise<string> => {
  const session: Session | null = await demur.session();
  const response: Response = await demur.fetch("/api", { method: "POST", body: "x" });
  const refusal: Refusal | null = await demur.read(response);
  if (refusal && !(await demur.recover(refusal, { method: "POST" }))) off();
  return session?.display_name ?? (await fetchOk("/api")).statusText;
};
htmxToo();
// @ts-expect-error - there is no such option of a call
demur.recover({} as Refusal, { methods: "POST" });
export const all = [axiosToo, interceptor, jQueryToo, queryToo, retry, ofReact, store, ofVue];
store.subscribe(({ session, over }) => console.log(session?.name.length, over === true));
`;

let folder;

before(() => {
  folder = mkdtempSync(path.join(tmpdir(), "demur-pack-"));
  // A copy, so that two runs do not meet in dist/.
  const copy = path.join(folder, "client");
  const into = path.join(folder, "src/demur/pages/static");
  mkdirSync(copy);
  for (const name of ["package.json", "tsconfig.json", "tsconfig.pack.json", "pack.mjs", "README.md"]) {
    cpSync(path.join(HERE, name), path.join(copy, name));
  }
  cpSync(path.join(HERE, "../src/demur/pages/static"), into, { recursive: true });
  cpSync(path.join(HERE, "../LICENSE"), path.join(folder, "LICENSE"));
  symlinkSync(path.join(HERE, "node_modules"), path.join(copy, "node_modules"));
  execFileSync("npm", ["pack", "--silent", "--pack-destination", folder], { cwd: copy, stdio: "pipe" });
  const [tarball] = readdirSync(folder).filter((name) => name.endsWith(".tgz"));
  const there = path.join(folder, "app/node_modules/demur");
  mkdirSync(there, { recursive: true });
  execFileSync("tar", ["-xzf", path.join(folder, tarball), "-C", there, "--strip-components", "1"]);
  writeFileSync(path.join(folder, "app/app.ts"), APP);
});

after(() => rmSync(folder, { recursive: true, force: true }));

test("has what it says, and nothing else", () => {
  const there = path.join(folder, "app/node_modules/demur");
  assert.deepEqual(readdirSync(there).sort(), ["LICENSE", "README.md", "dist", "package.json"]);
  const served = readdirSync(path.join(HERE, "../src/demur/pages/static/client"), { recursive: true }).map(String);
  const packed = readdirSync(path.join(there, "dist"), { recursive: true }).map(String);
  assert.deepEqual(packed.filter((name) => !name.endsWith(".d.ts")).sort(), served.sort());
  const { dependencies, type } = JSON.parse(readFileSync(path.join(there, "package.json"), "utf8"));
  assert.deepEqual([dependencies, type], [undefined, "module"]);
});

for (const [module, resolution] of [["esnext", "bundler"], ["nodenext", "nodenext"]]) {
  test(`a strict TypeScript project knows its types (${resolution})`, () => {
    const tsc = path.join(HERE, "node_modules/typescript/lib/tsc.js");
    const how = ["--strict", "--noEmit", "--target", "es2022", "--lib", "es2022,dom", "--types", ""];
    const args = [tsc, ...how, "--module", module, "--moduleResolution", resolution, "app.ts"];
    const cwd = path.join(folder, "app");
    writeFileSync(path.join(cwd, "package.json"), `{"type": "module"}`);
    const said = (() => {
      try {
        return execFileSync(process.execPath, args, { cwd, encoding: "utf8" });
      } catch (error) {
        return error.stdout;
      }
    })();
    assert.equal(said, "");
  });
}

test("a bundler follows every import, and nothing is left to be found at run time", async () => {
  const { metafile, warnings } = await build({
    entryPoints: [path.join(folder, "app/app.ts")],
    outdir: path.join(folder, "bundle"),
    bundle: true,
    splitting: true,
    format: "esm",
    metafile: true,
    logLevel: "silent",
  });
  assert.deepEqual(warnings, []);
  const inside = Object.keys(metafile.inputs).map((name) => name.replace(/.*node_modules\/demur\/dist\//, ""));
  const dist = path.join(folder, "app/node_modules/demur/dist");
  const modules = readdirSync(dist, { recursive: true }).map(String).filter((name) => name.endsWith(".js"));
  assert.deepEqual(modules.filter((name) => !inside.includes(name)), []);
  const left = Object.values(metafile.outputs).flatMap(({ imports }) => imports.filter(({ external }) => external));
  assert.deepEqual(left, []);
  // Some bundlers leave alone, in a package, what has a name in it that is only known later.
  for (const name of modules) assert.doesNotMatch(readFileSync(path.join(dist, name), "utf8"), /\bimport\(`/, name);
});

test("is of the version that the Python package is of", () => {
  const [, python] = /^version = "(.+)"$/m.exec(readFileSync(path.join(HERE, "../pyproject.toml"), "utf8"));
  const { version } = JSON.parse(readFileSync(path.join(HERE, "package.json"), "utf8"));
  assert.equal(version, python);
});

test("its lock names no registry and no place of this machine", () => {
  const lock = readFileSync(path.join(HERE, "package-lock.json"), "utf8");
  assert.doesNotMatch(lock, /"resolved"/);
  assert.doesNotMatch(lock, /"file:|"\.\.\//);
});
