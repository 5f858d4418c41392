// Whatever the datastore does to a call, no address is given out twice, and what is left over is found and mended.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCode } from '@amphipod/linux';
import { formatIp } from '@amphipod/netlink';
import fc from 'fast-check';
import { openEmbeddedDatastore } from '../datastore/embedded.ts';
import { formatIpamConfig } from '../resources/ipam-config.ts';
import { findMistakes } from './check.ts';
import { createIpam } from './ipam.ts';
import { observe } from './observe.ts';
import { repair } from './repair.ts';
import { addPool, type Fate, faultyStore } from './testing.ts';

const NODES = 4;
const RUNS = 150;
const REPAIRS = 10;

type Step =
  | { type: 'allocate'; node: number; isDual: boolean }
  | { type: 'release'; node: number; which: number }
  | { type: 'wait'; seconds: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      type: fc.constant('allocate' as const),
      node: fc.nat(NODES - 1),
      isDual: fc.boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant('release' as const),
      node: fc.nat(NODES - 1),
      which: fc.nat(99),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('wait' as const), seconds: fc.nat(90) }) },
);
const fate: fc.Arbitrary<Fate> = fc.oneof(
  { weight: 30, arbitrary: fc.constant('fine' as const) },
  { weight: 5, arbitrary: fc.constantFrom('slow', 'conflict', 'conflict', 'unavailable', 'lost') },
);
const settings = fc.record({
  strictAffinity: fc.boolean(),
  maxBlocksPerHost: fc.integer({ min: 1, max: 4 }),
  ipCooldownSeconds: fc.constantFrom(0, 30),
});

/** What the test expects a failing call to fail with. */
const EXPECTED = ['unavailable', 'no-free-address', 'conflict'];

test('no address is given out twice, and a repair leaves nothing over', async () => {
  let [allocated, failed, mended] = [0, 0, 0];
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 5, maxLength: 60 }),
      fc.array(fate, { minLength: 40, maxLength: 80 }),
      settings,
      async (steps, fates, config) => {
        await using store = openEmbeddedDatastore(':memory:');
        await addPool(store, 'a', '10.0.0.0/28', { blockSize: 30 });
        await addPool(store, 'b', 'fd00::/124', { blockSize: 126 });
        await store.put('/calico/ipam/v2/config', formatIpamConfig(config));
        let [now, call] = [Date.parse('2026-12-01T12:00:00Z'), 0];
        const faulty = faultyStore(store, () => fates[call++ % fates.length]!);
        const nodes = Array.from({ length: NODES }, (_, i) =>
          createIpam({ store: faulty, node: `n${i}`, now: () => now }),
        );
        /** Addresses of those handles of which the allocation has succeeded and no release has begun. */
        const live = new Map<string, string[]>();
        const inUse = new Map<string, readonly string[]>();
        const run = async (one: Step, i: number): Promise<void> => {
          if (one.type === 'wait') {
            now += one.seconds * 1000;
            return;
          }
          const ipam = nodes[one.node]!;
          try {
            if (one.type === 'allocate') {
              const handleId = `h${i}`;
              const ips = await ipam.allocate({
                owner: { handleId, attributes: { node: `n${one.node}` } },
                ipv4: { count: 1 },
                ...(one.isDual && { ipv6: { count: 1 } }),
              });
              allocated++;
              const texts = ips.map(formatIp);
              for (const text of texts) {
                assert.equal(inUse.get(text), undefined, `${text} is given to ${handleId} too`);
                inUse.set(text, [handleId]);
              }
              live.set(handleId, texts);
            } else {
              const handles = [...live.keys()];
              const handleId = handles[one.which % Math.max(1, handles.length)];
              if (handleId === undefined) return;
              for (const text of live.get(handleId)!) inUse.delete(text);
              live.delete(handleId);
              await ipam.releaseHandle(handleId);
            }
          } catch (error) {
            if (!isCode(error, ...EXPECTED)) throw error;
            failed++;
          }
        };
        // Three at a time, as they come.
        for (let i = 0; i < steps.length; i += 3) {
          await Promise.all(steps.slice(i, i + 3).map((one, j) => run(one, i + j)));
        }
        for (let i = 0; i < REPAIRS; i++) {
          const result = await repair({ store }, { use: async () => inUse, settleMs: 0, now: () => now });
          mended += result.mended.length;
          if (result.mended.length + result.left.length === 0) break;
        }
        const seen = await observe({ store });
        assert.deepEqual(findMistakes(seen, { use: inUse }), []);
        const held = [...seen.blocks.values()].flatMap(({ value }) =>
          value.attributes.flatMap(({ handle_id }) => handle_id ?? []),
        );
        assert.deepEqual([...new Set(held)].toSorted(), [...live.keys()].toSorted());
      },
    ),
    { numRuns: RUNS },
  );
  // So that it has all happened: a run with fewer of them would prove nothing.
  const FEW = RUNS / 5;
  assert.ok(allocated > FEW && failed > FEW && mended > FEW, `${allocated} ${failed} ${mended}`);
});
