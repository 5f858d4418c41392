import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseDocument } from '../documents/parse-document.ts';
import { evaluate } from '../reference/evaluate.ts';
import { randomWorld } from '../reference/random-world.ts';
import { decideFlow } from './decide-flow.ts';
import { PolicyWorld } from './policy-world.ts';

/** Some seconds' worth; the suite of before a release asks for 5,000. */
const WORLDS = Number(process.env.AMPHIPOD_POLICY_WORLDS ?? 1_000);

describe('what the model decides', () => {
  it(`is what the reference evaluator decides, by the same rule, in ${WORLDS} random worlds`, () => {
    const counts = { allowed: 0, denied: 0, byRule: 0 };
    for (let seed = 0; seed < WORLDS; seed++) {
      const { documents, probes } = randomWorld(seed, 20);
      const file = `world ${seed}`;
      const resources = documents.map((one, index) => parseDocument(one, { file, document: index + 1 }));
      const world = new PolicyWorld();
      for (const resource of resources) world.put(resource);
      for (const probe of probes) {
        const expected = evaluate(resources, probe);
        const actual = decideFlow(world, probe);
        assert.deepEqual(actual.summary, expected, `seed ${seed}: ${describeProbe(probe)}`);
        counts[expected.isAllowed ? 'allowed' : 'denied']++;
        if (expected.by.includes('spec.')) counts.byRule++;
      }
    }
    // Worlds where hardly anything is decided would prove little.
    for (const count of Object.values(counts)) assert.ok(count > WORLDS, JSON.stringify(counts));
  });
});

function describeProbe(probe: object): string {
  return JSON.stringify(probe, (_key, value: unknown) =>
    typeof value === 'bigint' ? value.toString(16) : value,
  );
}
