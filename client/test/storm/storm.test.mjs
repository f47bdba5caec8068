/**
 * Random storms break nothing, and would be noticed if they did.
 *
 * STORMS=1000 node --test client/test/storm/storm.test.mjs
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { CASES } from "./cases.mjs";
import { MUTANTS, mutate } from "./mutants.mjs";
import { report, ROOT, shrink, storm, storms } from "./run.mjs";

const RUNS = Number(process.env.STORMS ?? 150);

test(`${RUNS} storms break nothing`, async () => {
  const { failures, sum } = await storms({ runs: RUNS });
  assert.equal(failures.length, 0, failures.length ? report(await shrink(failures[0])) : "");
  for (const [what, times] of Object.entries(sum))
    assert.ok(times > RUNS / 8, `${what}: only ${times} times`);
});

test("the same seed is the same storm", async () => {
  const [first, second] = [await storm(7), await storm(7)];
  assert.deepEqual(first.trace, second.trace);
  const again = await storm(7, { script: first.trace });
  assert.deepEqual(again.trace, first.trace);
});

for (const [title, script] of Object.entries(CASES)) {
  test(title, async () => {
    const done = await storm(1, { script });
    assert.deepEqual(done.wrong, [], report(done));
  });
}

const read = (file) => readFileSync(new URL(file, ROOT), "utf8");

for (const [title, changes] of Object.entries(MUTANTS)) {
  test(`a storm notices when ${title}`, async (context) => {
    const sources = mutate(changes, read);
    if (RUNS < 1000) return context.skip("with STORMS=1000");
    const { failures } = await storms({ runs: RUNS, sources });
    assert.equal(failures.length, 1);
    context.diagnostic(`${failures[0].seed}: ${failures[0].wrong[0].split("\n")[0]}`);
  });
}
