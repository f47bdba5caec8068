// Make dist/, which is what the package has: the files that demur serves, and their types.
//
//     node pack.mjs            by `npm pack`, before
//     node pack.mjs --clean    and after
import { execFileSync } from "node:child_process";
import { cpSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const dist = path.join(here, "dist");
const license = path.join(here, "LICENSE");

const found = readdirSync(path.join(here, "../src/demur/pages/static/client/lang"));

/** One import for each name, where a name is only known when it runs. */
const table = (names, folder, name) =>
  `({ ${names.map((each) => `${each}: () => import("./${folder}${each}.js")`).join(", ")} })[${name}]()`;

/** What a bundler cannot follow is said so that it can. */
const CHANGES = [
  ["core.js", "import(`./${part}.js`)", table(["expiry", "forms", "watch"], "", "part")],
  ["ui.js", "import(`./lang/${code}.js`)", table(found.map((name) => path.basename(name, ".js")), "lang/", "code")],
  // A bundler may put it anywhere; the site has it where it always is.
  ["ui.js", `new URL("ui.css", import.meta.url)`, `options.prefix + "/client/ui.css"`],
];

rmSync(dist, { recursive: true, force: true });
rmSync(license, { force: true });
if (!process.argv.includes("--clean")) {
  cpSync(path.join(here, "../src/demur/pages/static/client"), dist, { recursive: true });
  cpSync(path.join(here, "../LICENSE"), license);
  for (const [name, served, packed] of CHANGES) {
    const file = path.join(dist, name);
    const text = readFileSync(file, "utf8");
    if (text.split(served).length !== 2) throw new Error(`${name} should have this once: ${served}`);
    writeFileSync(file, text.replace(served, () => packed));
  }
  const tsc = path.join(here, "node_modules/typescript/lib/tsc.js");
  execFileSync(process.execPath, [tsc, "--project", path.join(here, "tsconfig.pack.json")], { stdio: "inherit" });
}
