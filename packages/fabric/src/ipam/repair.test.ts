import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp } from '@amphipod/netlink';
import type { Datastore } from '../datastore/datastore.ts';
import { openEmbeddedDatastore } from '../datastore/embedded.ts';
import { isYoungerThan } from './address-use.ts';
import { findMistakes } from './check.ts';
import { createIpam } from './ipam.ts';
import { observe } from './observe.ts';
import { repair } from './repair.ts';
import { addPool, interpose } from './testing.ts';

const block = '/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-30';
const affinity = '/calico/ipam/v2/host/n1/ipv4/block/10.0.0.0-30';
const handle = '/calico/ipam/v2/handle/h';
const use = new Map([['10.0.0.0', ['a pod']]]);

/** A node with one block of which one address is in use. */
async function healthy(): Promise<Datastore> {
  const store = openEmbeddedDatastore(':memory:');
  await addPool(store, 'a', '10.0.0.0/30', { blockSize: 30 });
  const attributes = { node: 'n1', pod: 'p', namespace: 'default' };
  await createIpam({ store, node: 'n1' }).allocate({
    owner: { handleId: 'h', attributes },
    ipv4: { count: 1 },
  });
  return store;
}

const edit = async (store: Datastore, key: string, change: (json: string) => string) =>
  await store.put(key, change((await store.get(key))!.value));

const cases: [what: string, damage: (store: Datastore) => Promise<unknown>, text: RegExp][] = [
  [
    'a free address that is not listed',
    (store) => edit(store, block, (json) => json.replace('"unallocated":[1,2,3]', '"unallocated":[3,3]')),
    /block 10.0.0.0\/30 lists 2 free addresses and has 3, or others/,
  ],
  [
    'a handle that is gone',
    (store) => store.delete(handle),
    /handle "h" counts nothing and holds 1 of 10.0.0.0\/30/,
  ],
  [
    'a handle that counts too much',
    (store) => store.put(handle, '{"block":{"10.0.0.0/30":2,"10.0.0.4/30":1}}'),
    /handle "h" counts 1 of 10.0.0.4\/30, 2 of 10.0.0.0\/30 and holds 1 of 10.0.0.0\/30/,
  ],
  [
    'a handle of nothing',
    (store) => store.put('/calico/ipam/v2/handle/x', '{"block":{},"deleted":false}'),
    /handle "x" counts nothing and holds nothing/,
  ],
  [
    'an affinity that is gone',
    (store) => store.delete(affinity),
    /node "n1" does not know that block 10.0.0.0\/30 is its own/,
  ],
  [
    'an affinity to another’s block',
    (store) => store.put(affinity.replace('n1', 'n2'), '{"state":"confirmed"}'),
    /node "n2" thinks that it has block 10.0.0.0\/30, which is of "host:n1"/,
  ],
  [
    'a claim that was not finished',
    (store) => edit(store, affinity, (json) => json.replace('confirmed', 'pending')),
    /node "n1" and block 10.0.0.0\/30: left at "pending"/,
  ],
  [
    'a claim whose block was never made',
    (store) => store.put(affinity.replace('10.0.0.0', '10.0.0.4'), '{"state":"pending"}'),
    /node "n1" and block 10.0.0.4\/30: left at "pending"/,
  ],
  [
    'a release that was not finished',
    (store) => edit(store, affinity, (json) => json.replace('confirmed', 'pendingDeletion')),
    /left at "pendingDeletion"/,
  ],
  [
    'an empty block of nobody',
    async (store) => {
      const empty = (await store.get(block))!.value
        .replaceAll('10.0.0.0', '10.0.0.4')
        .replace('"host:n1"', 'null')
        .replace('[0,null', '[null,null')
        .replace('[1,2,3]', '[0,1,2,3]');
      await store.put(block.replace('10.0.0.0', '10.0.0.4'), empty);
    },
    /block 10.0.0.4\/30 is nobody's and empty/,
  ],
  [
    'an address that nothing uses',
    async (store) => {
      const owner = { handleId: 'gone', attributes: { node: 'n1', pod: 'q', namespace: 'default' } };
      await createIpam({ store, node: 'n1' }).assign({ owner, ips: [parseIp('10.0.0.2')] });
    },
    /nothing uses 10.0.0.2: handle "gone", pod default\/q of node "n1"/,
  ],
];

for (const [what, damage, text] of cases) {
  test(`${what} is found and mended`, async () => {
    await using store = await healthy();
    assert.deepEqual(findMistakes(await observe({ store }), { use }), []);
    await damage(store);
    const found = findMistakes(await observe({ store }), { use });
    assert.equal(found.length, 1);
    assert.match(found[0]!.text, text);
    const { mended, left } = await repair({ store }, { use: async () => use, settleMs: 0 });
    assert.deepEqual([mended.length, left], [1, []]);
    assert.deepEqual(findMistakes(await observe({ store }), { use }), []);
    const { handles, blocks } = await observe({ store });
    assert.deepEqual([...handles.keys()], ['h']);
    assert.equal(blocks.get('10.0.0.0/30')?.value.affinity, 'host:n1');
  });
}

test('what nothing can be done for is told', async () => {
  await using store = await healthy();
  await store.put('/calico/ipam/v2/handle/broken', '{');
  const others = new Map([...use, ['10.0.0.3', ['b']], ['10.9.0.1', ['c', 'd']]]);
  const { mended, left } = await repair({ store }, { use: async () => others, settleMs: 0 });
  assert.deepEqual(mended, []);
  assert.deepEqual(
    left.map(({ type, text }) => `${type}: ${text}`),
    [
      `unreadable: ${left[0]!.text}`,
      'unallocated: 10.0.0.3 is used by b and not allocated',
      'unallocated: 10.9.0.1 is used by c, d and not allocated',
      'duplicate: 10.9.0.1 is used by c and d',
    ],
  );
  assert.match(left[0]!.text, /read datastore key ".*\/handle\/broken": SyntaxError/);
});

test('what has just begun is left alone', async () => {
  await using store = await healthy();
  // The handle of an allocation counts before its block has the address.
  const begin = () => store.put('/calico/ipam/v2/handle/new', '{"block":{"10.0.0.0/30":1},"deleted":false}');
  await begin();
  const watched = interpose(store, async (method, call) => {
    const answer = await call();
    if (method === 'list') await begin();
    return answer;
  });
  const { mended, left } = await repair({ store: watched }, { use: async () => use, settleMs: 0 });
  assert.deepEqual([mended.length, left.length], [0, 1]);
});

test('an address that was taken a moment ago is not missed', async () => {
  await using store = await healthy();
  const { left } = await repair({ store }, { use: async () => new Map(), settleMs: 0, isYoung: () => true });
  assert.deepEqual(left, []);
});

test('the age of an allocation is read from its time, in our form and in Calico’s', () => {
  const isYoung = isYoungerThan(60_000, Date.parse('2026-12-01T12:01:00Z'));
  const of = (timestamp: string) => isYoung({ secondary: { timestamp } });
  assert.deepEqual(
    [
      '2026-12-01T12:00:00.500Z',
      '2026-12-01 12:00:00.123456789 +0000 UTC',
      '2026-12-01 11:59:59 +0000 UTC',
      'soon',
    ].map(of),
    [true, true, false, false],
  );
  assert.equal(isYoung({}), false);
});
