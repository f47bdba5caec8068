/**
 * Storms by hand: node client/test/storm/run.mjs --seed 1 --runs 1000 [--trace]
 */
import { pathToFileURL } from "node:url";

import { Storm } from "./storm.mjs";

export const ROOT = new URL("../../../src/demur/pages/static/", import.meta.url);

/**
 * One storm: what went wrong, and what happened.
 *
 * @returns {Promise<{seed: number, wrong: string[], trace: string[], numbers: Record<string, number>}>}
 */
export async function storm(seed, { sources, script, root = ROOT } = {}) {
  const one = new Storm({ seed, root, sources, script });
  const caught = (error) => one.judge.fail(`uncaught: ${error?.stack ?? error}`);
  process.on("uncaughtException", caught).on("unhandledRejection", caught);
  try {
    await one.run();
  } finally {
    process.off("uncaughtException", caught).off("unhandledRejection", caught);
  }
  return { seed, wrong: one.judge.wrong, trace: one.trace, numbers: one.judge.numbers };
}

/** The same fault with fewer steps: whole pieces are left out while it stays. */
export async function shrink(failure, options = {}, tries = 400) {
  const same = (wrong) => wrong.some((what) => sort(what) === sort(failure.wrong[0]));
  let best = failure;
  for (let size = best.trace.length >> 1; size >= 1; size = size > 1 ? size >> 1 : 0) {
    for (let at = 0; at < best.trace.length && tries > 0;) {
      const script = best.trace.filter((key, i) => i < at || i >= at + size || key.startsWith("calm"));
      tries--;
      const found = await storm(failure.seed, { ...options, script });
      if (same(found.wrong) && found.trace.length < best.trace.length) best = found;
      else at += size;
    }
  }
  return best;
}

/** What is wrong, without who and how often. */
const sort = (what) => what.split("\n")[0].replace(/"[^"]*"|\b[a-d]\.\d+\b|\d+|alice|bob/g, "…");

/** Storms from `seed` on; stops at the first that breaks something, or lists them all. */
export async function storms({ seed = 1, runs = 1000, all = false, ...options } = {}) {
  const sum = {};
  const failures = [];
  for (let i = 0; i < runs; i++) {
    const done = await storm(seed + i, options);
    for (const [name, value] of Object.entries(done.numbers)) sum[name] = (sum[name] ?? 0) + value;
    if (done.wrong.length) failures.push(done);
    if (failures.length && !all) break;
  }
  return { failures, sum };
}

export function report({ seed, wrong, trace }) {
  return [
    `seed ${seed}: ${wrong[0]}`,
    ...wrong.slice(1, 4).map((what) => `  and: ${what}`),
    ...trace.map((key) => `    ${key}`),
  ].join("\n");
}

async function main() {
  const given = (name, otherwise) => {
    const at = process.argv.indexOf(`--${name}`);
    return at < 0 ? otherwise : Number(process.argv[at + 1]);
  };
  const all = process.argv.includes("--all");
  const at = process.argv.indexOf("--root");
  const root = at < 0 ? ROOT : pathToFileURL(`${process.argv[at + 1]}/`);
  const began = performance.now();
  const runs = given("runs", 1000);
  const { failures, sum } = await storms({ seed: given("seed", 1), runs, all, root });
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  console.log(
    `${runs} storms in ${seconds} s: ${Object.entries(sum)
      .map(([name, value]) => `${value} ${name}`)
      .join(", ")}`,
  );
  if (all) {
    const sorts = new Map();
    for (const failure of failures) {
      const kind = sort(failure.wrong[0]);
      sorts.set(kind, [...(sorts.get(kind) ?? []), failure.seed]);
    }
    for (const [kind, seeds] of sorts)
      console.log(`${seeds.length} × ${kind}: seeds ${seeds.slice(0, 8).join(" ")}`);
  } else if (failures.length) console.log(report(await shrink(failures[0], { root })));
  process.exitCode = failures.length ? 1 : 0;
}

// A test runner that takes every file below `test` for a test finds nothing to do here.
if (
  process.argv[1] &&
  import.meta.url === pathToFileURL(process.argv[1]).href &&
  !process.env.NODE_TEST_CONTEXT
)
  await main();
