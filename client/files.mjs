// The client's files, and how big they are.
import { parse } from "acorn";
import { readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

export const HERE = path.dirname(fileURLToPath(import.meta.url));
export const STATIC = path.join(HERE, "../src/demur/pages/static");

/** What a page that only imports the client loads at once, and what nobody loads who does not ask for it. */
const CORE = ["client.js", "client/core.js", "client/reasons.js"];
const APART = /^client\/(lang|hands)\//;

/** All of them, as they are called below the prefix. */
export const names = () =>
  readdirSync(STATIC, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(js|css)$/.test(entry.name))
    // `path` is what Node.js 18 calls it.
    .map((entry) => path.relative(STATIC, path.join(entry.parentPath ?? entry.path, entry.name)))
    .map((name) => name.split(path.sep).join("/"))
    .sort();

/** A text without comments, and without the lines that were nothing else; not one other character is changed. */
export const stripped = (name, text = readFileSync(path.join(STATIC, name), "utf8")) => {
  const cuts = [];
  if (name.endsWith(".css")) {
    for (const { index, 0: found } of text.matchAll(/"[^"\n]*"|\/\*[^]*?\*\//g)) {
      if (found[0] === "/") cuts.push([index, index + found.length]);
    }
  } else {
    const onComment = (_block, _text, start, end) => cuts.push([start, end]);
    parse(text, { ecmaVersion: "latest", sourceType: "module", onComment });
  }
  let at = 0;
  let kept = "";
  for (const [start, end] of cuts) {
    kept += text.slice(at, start) + "\0";
    at = end;
  }
  const lines = (kept + text.slice(at)).split("\n");
  return lines.filter((line) => !/^[\s\0]*$/.test(line)).map((line) => line.replace(/\s*\0/g, "")).join("\n") + "\n";
};

/** Bytes, as `gzip -9` makes them. @param {string | Uint8Array} data */
export const zipped = (data) => gzipSync(data, { level: 9 }).length;

/** Bytes of each file, and the sums: `core`, `everything`, `lang` and `hands`, the last two apart. */
export const sizes = () => {
  const each = Object.fromEntries(names().map((name) => [name, zipped(stripped(name))]));
  const sum = (wanted) => Object.entries(each).reduce((all, [name, size]) => all + (wanted(name) ? size : 0), 0);
  return {
    each,
    core: sum((name) => CORE.includes(name)),
    everything: sum((name) => !APART.test(name)),
    lang: sum((name) => name.startsWith("client/lang/")),
    hands: sum((name) => name.startsWith("client/hands/")),
  };
};
