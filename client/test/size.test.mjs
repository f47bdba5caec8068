// What a page loads stays small: the files as they are served, without comments, by gzip -9.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { HERE, STATIC, names, sizes, stripped } from "../files.mjs";

const WRITE = "write it anew: make docs";

test("the core is at most 4,096 bytes", () => {
  const { core, each } = sizes();
  assert.ok(core <= 4096, `${core}: ${JSON.stringify(each)}`);
});

// The aim was 6,144: docs/explanation/decisions/0015. It is not to grow.
test("everything but languages and hands is at most 11,000 bytes", () => {
  const { everything, each } = sizes();
  assert.ok(everything <= 11_000, `${everything}: ${JSON.stringify(each)}`);
});

test("a hand has fewer than 40 lines", () => {
  const lines = names()
    .filter((name) => name.startsWith("client/hands/") && !/\/(state|xhr)\.js$/.test(name))
    .map((name) => [name, readFileSync(path.join(STATIC, name), "utf8").trimEnd().split("\n").length]);
  assert.equal(lines.length, 8);
  assert.deepEqual(lines.filter(([, length]) => length >= 40), []);
});

for (const [name, text, without] of [
  ["a.js", "// one\nlet a = 1; // two\n/* three\n * four */\nlet b = /\\/\\/ no/;\n", "let a = 1;\nlet b = /\\/\\/ no/;\n"],
  ["a.js", 'let a = "// no" /* yes */ + `/* no */`;\n', 'let a = "// no" + `/* no */`;\n'],
  ["a.js", "\n\n  let a = 1;\n\n", "  let a = 1;\n"],
  ["a.css", '/* one */\na { content: "/* no */"; /* two */ color: red }\n', 'a { content: "/* no */"; color: red }\n'],
]) {
  test(`only comments are taken away: ${JSON.stringify(text)}`, () => assert.equal(stripped(name, text), without));
}

// Exactly so it would have to be written anew with each change of a line.
test("docs/reference/client-size.md says what is so, within a twentieth", () => {
  const page = readFileSync(path.join(HERE, "../docs/reference/client-size.md"), "utf8");
  const { each, core, everything } = sizes();
  const said = [...page.matchAll(/^\| `([\w./-]+)` \| ([\d,]+) \|$/gm)].map(([, name, size]) => [name, size]);
  const sums = [...page.matchAll(/^\| (core|everything)\b.* \| ([\d,]+) \|$/gm)].map(([, name, size]) => [name, size]);
  const now = { ...each, core, everything };
  assert.deepEqual([...said, ...sums].map(([name]) => name).sort(), Object.keys(now).sort(), WRITE);
  for (const [name, size] of [...said, ...sums]) {
    const was = Number(size.replaceAll(",", ""));
    assert.ok(Math.abs(was - now[name]) <= Math.max(20, was / 20), `${name}: ${was}, and now ${now[name]}; ${WRITE}`);
  }
});
