/**
 * Loads the client's real modules, once for each tab, over that tab's globals.
 *
 * A module becomes the body of a strict function inside `with (globals)`: each free name, `fetch` too, is looked up
 * in the tab at the moment it is used, as in a browser; and a thousand tabs cost no more than a thousand calls.
 * What is not understood (another form of import or export) stays as it is and is a syntax error, never a silent
 * change.
 */
import { readFileSync } from "node:fs";
import vm from "node:vm";

const IMPORT = /^import\s+(?:\{([^}]*)\}|\*\s+as\s+([\w$]+))\s+from\s+"([^"]+)";?/gm;
const EXPORT_NAME = /^export\s+((?:async\s+)?function\*?|const|let|class)\s+([\w$]+)/gm;
const EXPORT_LIST = /^export\s+\{([^}]*)\};?/gm;

/** What a page has that JavaScript itself brings; anything else comes from the tab or is not there. */
const LANGUAGE = new Set(
  `Array ArrayBuffer BigInt Boolean DataView Error EvalError FinalizationRegistry Function Infinity Int8Array Intl
   Iterator JSON Map NaN Number Object Promise Proxy RangeError ReferenceError Reflect RegExp Set String Symbol
   SyntaxError TypeError URIError Uint8Array Uint16Array Uint32Array WeakMap WeakRef WeakSet decodeURI
   decodeURIComponent encodeURI encodeURIComponent isFinite isNaN parseFloat parseInt undefined`.split(/\s+/),
);

/** `{ a, b as c }` as pairs of names. */
const pairs = (list) =>
  list
    .split(",")
    .map((part) => part.trim())
    .filter(Boolean)
    .map((part) => part.split(/\s+as\s+/))
    .map(([from, to]) => [from, to ?? from]);

/**
 * @param {string} source
 * @param {string} filename for stack traces
 */
export function compile(source, filename) {
  const exported = [];
  const body = source
    .replace(IMPORT, (all, list, star, from) => {
      const lines = "\n".repeat(all.split("\n").length - 1);
      if (star) return `const ${star} = __import(${JSON.stringify(from)});${lines}`;
      const names = pairs(list).map(([name, local]) => (name === local ? name : `${name}: ${local}`));
      return `const { ${names.join(", ")} } = __import(${JSON.stringify(from)});${lines}`;
    })
    .replace(EXPORT_NAME, (_, kind, name) => {
      exported.push([name, name]);
      return `${kind} ${name}`;
    })
    .replace(EXPORT_LIST, (_, list) => {
      exported.push(...pairs(list));
      return "";
    })
    .replace(/\bimport\.meta\b/g, "__meta")
    .replace(/\bimport\(/g, "__later(");
  const names = exported.map(([from, to]) => `get ${to}() { return ${from}; }`).join(", ");
  return new vm.Script(
    "(function (__globals) { with (__globals) { return function (__import, __later, __meta) { " +
      `"use strict"; ${body}\nreturn { ${names} }; } } })`,
    { filename },
  ).runInThisContext();
}

const compiled = new Map();

function prepared(url, source) {
  const key = source ?? url.href;
  if (!compiled.has(key)) compiled.set(key, compile(source ?? readFileSync(url, "utf8"), url.pathname));
  return compiled.get(key);
}

/**
 * The modules of one page, each run at most once.
 *
 * @param {object} options
 * @param {Record<string, any>} options.globals the page's window
 * @param {URL} options.root the folder of the client's source
 * @param {Record<string, string>} [options.sources] text in place of a file, by its path below the root
 * @param {Record<string, object>} [options.given] modules that the page brings itself
 * @param {string} options.site where the folder is served
 */
export function loader({ globals, root, sources = {}, given = {}, site }) {
  const scope = new Proxy(globals, {
    has: (_, name) => typeof name === "string" && !name.startsWith("__") && !LANGUAGE.has(name),
    get: (window, name) => (name === Symbol.unscopables ? undefined : window[name]),
  });
  const loaded = new Map();
  const load = (url) => {
    const path = url.href.slice(root.href.length);
    if (path in given) return given[path];
    if (!loaded.has(path)) {
      const run = prepared(url, sources[path])(scope);
      loaded.set(path, {});
      const later = async (name) => load(new URL(name, url));
      Object.defineProperties(
        loaded.get(path),
        Object.getOwnPropertyDescriptors(
          run((name) => load(new URL(name, url)), later, { url: site + path }),
        ),
      );
    }
    return loaded.get(path);
  };
  return (path) => load(new URL(path, root));
}
