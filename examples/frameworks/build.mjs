// Bundle the examples that cannot be served as they are: JSX, Svelte's components, Angular's and
// TanStack's packages.
//
//     node examples/frameworks/build.mjs [FOLDER]        (default: examples/frameworks/built)
//
// The client is not in the bundles: what they import from "demur" is the site's own, /.demur/client/.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const modules = path.join(here, "../../client/node_modules");
const require = createRequire(path.join(modules, "index.js"));
const { build } = require("esbuild");
const { compile } = require("svelte/compiler");

const served = {
  name: "demur, as the site serves it",
  setup(at) {
    at.onResolve({ filter: /^demur(\/|$)/ }, ({ path: name }) => {
      const file = name === "demur" ? "core" : name.slice("demur/".length);
      return { path: `/.demur/client/${file}.js`, external: true };
    });
    at.onResolve({ filter: /\/show\.js$/ }, () => ({ path: "/show.js", external: true }));
  },
};

const svelte = {
  name: "svelte",
  setup(at) {
    at.onLoad({ filter: /\.svelte$/ }, async ({ path: file }) => {
      const text = await readFile(file, "utf8");
      const { js } = compile(text, { filename: path.basename(file), css: "external" });
      return { contents: js.code, loader: "js" };
    });
  },
};

await build({
  entryPoints: {
    angular: "angular/app.js",
    query: "query/app.js",
    react: "react/app.jsx",
    svelte: "svelte/app.js",
  },
  absWorkingDir: here,
  outdir: process.argv[2] ?? path.join(here, "built"),
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  jsx: "automatic",
  conditions: ["browser", "production"],
  define: { "process.env.NODE_ENV": '"production"', ngDevMode: "false" },
  nodePaths: [modules],
  plugins: [served, svelte],
  logLevel: "warning",
});
