import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatIp, type IpAddress, parseCidr, parseIp } from '@amphipod/netlink';
import type { Datastore } from '../datastore/datastore.ts';
import { openEmbeddedDatastore } from '../datastore/embedded.ts';
import { blockKey, type IpamBlock, parseBlock } from '../resources/ipam-block.ts';
import { formatIpamConfig } from '../resources/ipam-config.ts';
import { apiVersion } from '../resources/metadata.ts';
import { applyResource, createResource, getResource } from '../resources/resource-store.ts';
import { deletePool } from './delete-pool.ts';
import { createIpam } from './ipam.ts';
import { addNode, addPool, countRoundTrips } from './testing.ts';

const owner = (handleId: string) => ({
  handleId,
  attributes: { node: 'n1', pod: handleId, namespace: 'default' },
});
const texts = (ips: readonly IpAddress[]) => ips.map(formatIp);
/** A time that tests move themselves. */
const start = Date.parse('2026-12-01T12:00:00Z');

function allocator(store: Datastore, node = 'n1', now: () => number = () => start) {
  const ipam = createIpam({ store, node, now });
  const one = async (handleId: string) =>
    texts(await ipam.allocate({ owner: owner(handleId), ipv4: { count: 1 } }))[0]!;
  return { ...ipam, one };
}

async function readBlock(store: Datastore, cidr: string): Promise<IpamBlock | undefined> {
  const key = blockKey(parseCidr(cidr));
  const entry = await store.get(key);
  return entry && parseBlock(entry.value, key);
}

async function keys(store: Datastore): Promise<string[]> {
  const { entries } = await store.list('/calico/ipam/');
  return entries.map(({ key }) => key.replace('/calico/ipam/v2/', ''));
}

test('a node claims a block, counts up in it, and keeps Calico’s records', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await addPool(store, 'a', '10.0.0.0/30', { blockSize: 30 });
  const { one } = allocator(store);
  assert.deepEqual([await one('h1'), await one('h2')], ['10.0.0.0', '10.0.0.1']);
  assert.deepEqual(await keys(store), [
    'assignment/ipv4/block/10.0.0.0-30',
    'handle/h1',
    'handle/h2',
    'host/n1/ipv4/block/10.0.0.0-30',
  ]);
  const block = (await readBlock(store, '10.0.0.0/30'))!;
  assert.deepEqual(
    { ...block, sequenceNumber: 0n, sequenceNumberForAllocation: {} },
    {
      cidr: '10.0.0.0/30',
      affinity: 'host:n1',
      affinity_claim_time: '2026-12-01T12:00:00Z',
      allocations: [0, 1, null, null],
      unallocated: [2, 3],
      attributes: [
        { handle_id: 'h1', secondary: { namespace: 'default', node: 'n1', pod: 'h1' } },
        { handle_id: 'h2', secondary: { namespace: 'default', node: 'n1', pod: 'h2' } },
      ],
      sequenceNumber: 0n,
      sequenceNumberForAllocation: {},
      deleted: false,
    },
  );
  assert.equal(
    (await store.get('/calico/ipam/v2/handle/h1'))?.value,
    '{"block":{"10.0.0.0/30":1},"deleted":false}',
  );
  assert.equal(
    (await store.get('/calico/ipam/v2/host/n1/ipv4/block/10.0.0.0-30'))?.value,
    '{"state":"confirmed","deleted":false}',
  );
});

test('what is given back is given out last, and once only', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await addPool(store, 'a', '10.0.0.0/30', { blockSize: 30 });
  const { one, releaseHandle } = allocator(store);
  await one('h1');
  await one('h2');
  assert.deepEqual(texts(await releaseHandle('h1')), ['10.0.0.0']);
  assert.deepEqual(texts(await releaseHandle('h1')), []);
  assert.deepEqual([await one('h3'), await one('h4'), await one('h5')], ['10.0.0.2', '10.0.0.3', '10.0.0.0']);
  await assert.rejects(one('h6'), {
    code: 'no-free-address',
    message: 'allocate 1 IPv4 of IPPool "a" 10.0.0.0/30 for node "n1": no address is free',
  });
  assert.equal(await store.get('/calico/ipam/v2/handle/h6'), undefined);
});

test('an address cools down before it is given out again', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await addPool(store, 'a', '10.0.0.0/31', { blockSize: 31 });
  await store.put('/calico/ipam/v2/config', formatIpamConfig({ ipCooldownSeconds: 60 }));
  let now = start;
  const { one, assign, releaseHandle } = allocator(store, 'n1', () => now);
  await one('h1');
  await one('h2');
  await releaseHandle('h1');
  assert.deepEqual((await readBlock(store, '10.0.0.0/31'))?.attributes[1], {
    releasedAt: '2026-12-01T12:00:00Z',
  });
  now += 60_000;
  await assert.rejects(one('h3'), { code: 'no-free-address' });
  await assert.rejects(assign({ owner: owner('h3'), ips: [parseIp('10.0.0.0')] }), {
    code: 'address-taken',
    message: 'assign 10.0.0.0: it cools down since 2026-12-01T12:00:00Z',
  });
  now += 1_000;
  assert.equal(await one('h3'), '10.0.0.0');
});

test('a full block is followed by another, up to the limit of blocks', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await addPool(store, 'a', '10.0.0.0/29', { blockSize: 31 });
  await store.put('/calico/ipam/v2/config', formatIpamConfig({ maxBlocksPerHost: 2 }));
  const { one } = allocator(store);
  const ips = [await one('h1'), await one('h2'), await one('h3'), await one('h4')];
  assert.equal(new Set(ips).size, 4);
  await assert.rejects(one('h5'), {
    code: 'no-free-address',
    message: /the node has 2 blocks, which is the limit/,
  });
});

test('a node without a free block borrows, unless affinity is strict', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await addPool(store, 'a', '10.0.0.0/30', { blockSize: 30 });
  const [first, second] = [allocator(store, 'n1'), allocator(store, 'n2')];
  assert.equal(await first.one('h1'), '10.0.0.0');
  assert.equal(await second.one('h2'), '10.0.0.1');
  assert.equal((await readBlock(store, '10.0.0.0/30'))?.affinity, 'host:n1');
  await store.put('/calico/ipam/v2/config', formatIpamConfig({ strictAffinity: true }));
  await assert.rejects(second.one('h3'), {
    code: 'no-free-address',
    message: /there is no free block, and strictAffinity forbids to borrow/,
  });
  await assert.rejects(second.assign({ owner: owner('h3'), ips: [parseIp('10.0.0.3')] }), {
    code: 'address-taken',
    message: 'assign 10.0.0.3: its block is of node "n1", and strictAffinity forbids to borrow',
  });
});

test('a block that another node has not used for a minute is taken over', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await addPool(store, 'a', '10.0.0.0/31', { blockSize: 31 });
  await store.put('/calico/ipam/v2/config', formatIpamConfig({ strictAffinity: true }));
  let now = start;
  const [first, second] = [allocator(store, 'n1', () => now), allocator(store, 'n2', () => now)];
  await first.one('h1');
  await first.releaseHandle('h1');
  now += 59_000;
  await assert.rejects(second.one('h2'), { code: 'no-free-address' });
  now += 1_000;
  await second.one('h2');
  assert.equal((await readBlock(store, '10.0.0.0/31'))?.affinity, 'host:n2');
  assert.deepEqual(
    (await keys(store)).filter((key) => key.startsWith('host/')),
    ['host/n2/ipv4/block/10.0.0.0-31'],
  );
  // The first node remembers the block as its own.
  await assert.rejects(first.one('h3'), { code: 'no-free-address' });
});

test('what a killed process left half-way is finished by the next allocation', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await addPool(store, 'a', '10.0.0.0/30', { blockSize: 30 });
  await allocator(store).one('h1');
  const key = '/calico/ipam/v2/host/n1/ipv4/block/10.0.0.0-30';
  for (const [state, ip] of [
    ['pending', '10.0.0.1'],
    ['pendingDeletion', '10.0.0.2'],
  ]) {
    await store.put(key, `{"state":"${state}","deleted":false}`);
    assert.equal(await allocator(store).one(`h ${state}`), ip);
    assert.equal((await store.get(key))?.value, '{"state":"confirmed","deleted":false}');
  }
  // An affinity to another's block is no block of ours: it goes, and does not count.
  await store.put('/calico/ipam/v2/config', formatIpamConfig({ maxBlocksPerHost: 1 }));
  await store.put(key.replace('n1', 'n2'), '{"state":"confirmed","deleted":false}');
  assert.equal(await allocator(store, 'n2').one('h4'), '10.0.0.3');
  assert.equal(await store.get(key.replace('n1', 'n2')), undefined);
});

test('without automatic blocks a node has only what it has', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await addPool(store, 'a', '10.0.0.0/30', { blockSize: 30 });
  await store.put('/calico/ipam/v2/config', formatIpamConfig({ autoAllocateBlocks: false }));
  await assert.rejects(allocator(store).one('h1'), {
    code: 'no-free-address',
    message: /no address is free/,
  });
});

test('both families, or none', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await addPool(store, 'a', '10.0.0.0/30', { blockSize: 30 });
  await addPool(store, 'b', 'fd00::/127', { blockSize: 127 });
  const ipam = allocator(store);
  const both = (handleId: string) =>
    ipam.allocate({ owner: owner(handleId), ipv4: { count: 1 }, ipv6: { count: 1 } }).then(texts);
  assert.deepEqual(await both('h1'), ['10.0.0.0', 'fd00::']);
  assert.deepEqual(await both('h2'), ['10.0.0.1', 'fd00::1']);
  await assert.rejects(both('h3'), { code: 'no-free-address', message: /allocate 1 IPv6 of IPPool "b"/ });
  assert.equal(await store.get('/calico/ipam/v2/handle/h3'), undefined);
  assert.deepEqual((await readBlock(store, '10.0.0.0/30'))?.unallocated, [3, 2]);
  assert.deepEqual(texts(await ipam.releaseHandle('h2')), ['10.0.0.1', 'fd00::1']);
});

test('many addresses at once, over several blocks', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await addPool(store, 'a', '10.0.0.0/23', { blockSize: 26 });
  const ipam = allocator(store);
  const ips = texts(await ipam.allocate({ owner: owner('h'), ipv4: { count: 257 } }));
  assert.equal(new Set(ips).size, 257);
  await assert.rejects(ipam.allocate({ owner: owner('g'), ipv4: { count: 256 } }), {
    code: 'no-free-address',
  });
  assert.equal((await ipam.releaseHandle('g')).length, 0);
  assert.equal((await ipam.releaseHandle('h')).length, 257);
});

test('reserved addresses are left out, also whole ranges of a pool that nobody can count', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await addPool(store, 'a', '10.0.0.0/30', { blockSize: 30 });
  await addPool(store, 'b', 'fd00::/48');
  await createResource(store, {
    kind: 'IPReservation',
    apiVersion,
    metadata: { name: 'r' },
    spec: { reservedCIDRs: ['10.0.0.0/31', '10.0.0.3/32', 'fd00::/49', 'fd00:0:0:8000::/50'] },
  });
  const ipam = allocator(store);
  assert.equal(await ipam.one('h1'), '10.0.0.2');
  await assert.rejects(ipam.one('h2'), { code: 'no-free-address' });
  const [ip] = texts(await ipam.allocate({ owner: owner('h3'), ipv6: { count: 1 } }));
  assert.match(ip!, /^fd00:0:0:[c-f]/);
  // Who asks for it by name gets it.
  await ipam.assign({ owner: owner('h4'), ips: [parseIp('10.0.0.3')] });
});

test('addresses that are asked for by name, all or none', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await addPool(store, 'a', '10.0.0.0/24', { blockSize: 30, nodeSelector: 'has(nothing)' });
  const ipam = allocator(store);
  const assign = (handleId: string, ...ips: string[]) =>
    ipam.assign({ owner: owner(handleId), ips: ips.map(parseIp) });
  await assign('h1', '10.0.0.9', '10.0.0.77');
  await assign('h1', '10.0.0.77');
  await assert.rejects(assign('h2', '10.0.0.5', '10.0.0.9'), {
    code: 'address-taken',
    message: 'assign 10.0.0.9: handle "h1" of pod default/h1 has it',
  });
  assert.equal(await store.get('/calico/ipam/v2/handle/h2'), undefined);
  await assert.rejects(assign('h2', '10.1.0.1'), {
    code: 'no-pool',
    message: 'assign 10.1.0.1: it is in no IPPool',
  });
  assert.deepEqual(
    texts(await ipam.releaseIps([parseIp('10.0.0.77'), parseIp('10.0.0.5')], { handleId: 'h1' })),
    ['10.0.0.77'],
  );
  assert.deepEqual(texts(await ipam.releaseIps([parseIp('10.0.0.9')], { handleId: 'h2' })), []);
  assert.equal(
    (await store.get('/calico/ipam/v2/handle/h1'))?.value,
    '{"block":{"10.0.0.8/30":1},"deleted":false}',
  );
});

test('an empty block goes when its pool does not select the node any more', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await addPool(store, 'a', '10.0.0.0/30', { blockSize: 31, nodeSelector: 'rack == "1"' });
  await addPool(store, 'b', '10.1.0.0/30', { blockSize: 31, nodeSelector: 'rack == "2"' });
  await addNode(store, 'n1', { rack: '1' });
  const ipam = allocator(store);
  assert.match(await ipam.one('h1'), /^10\.0\./);
  await ipam.one('h2');
  await ipam.one('h3');
  await ipam.releaseHandle('h3');
  await applyResource(store, {
    kind: 'Node',
    apiVersion,
    metadata: { name: 'n1', labels: { rack: '2' } },
    spec: {},
  });
  assert.match(await ipam.one('h4'), /^10\.1\./);
  const own = (await keys(store)).filter((key) => key.startsWith('host/'));
  assert.equal(own.filter((key) => key.includes('/10.0.0.')).length, 1);
  assert.equal((await ipam.releaseHandle('h1')).length, 1);
});

test('within an owned block an allocation takes three round trips, and both families five', async () => {
  await using embedded = openEmbeddedDatastore(':memory:');
  await addPool(embedded, 'a', '10.0.0.0/16');
  await addPool(embedded, 'b', 'fd00::/48');
  await addNode(embedded, 'n1');
  const { store, count } = countRoundTrips(embedded);
  const ipam = allocator(store);
  await ipam.allocate({ owner: owner('first'), ipv4: { count: 1 }, ipv6: { count: 1 } });
  const counts: number[] = [];
  for (let i = 0; i < 120; i++) {
    count();
    await ipam.one(`h${i}`);
    counts.push(count().roundTrips);
  }
  assert.equal(counts.toSorted((a, b) => a - b)[counts.length / 2], 3);
  count();
  await ipam.allocate({ owner: owner('both'), ipv4: { count: 1 }, ipv6: { count: 1 } });
  assert.equal(count().roundTrips, 5);
});

test('a block that somebody broke gives nothing, and the others do', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await addPool(store, 'a', '10.0.0.0/30', { blockSize: 31 });
  const ipam = allocator(store);
  const first = await ipam.one('h1');
  const broken = blockKey({ ...parseCidr(`${first}/31`), ip: parseCidr(`${first}/31`).ip });
  await store.put(broken, '{"cidr":"10.0.0.0/99"}');
  assert.notEqual(await ipam.one('h2'), first);
});

test('the configuration’s pool is the one that is named, by name or network', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await addPool(store, 'a', '10.0.0.0/24');
  await addPool(store, 'b', '10.1.0.0/24', { assignmentMode: 'Manual', nodeSelector: 'has(nothing)' });
  await addPool(store, 'off', '10.2.0.0/24', { disabled: true });
  const ipam = allocator(store);
  const from = (...pools: string[]) =>
    ipam.allocate({ owner: owner(pools.join()), ipv4: { count: 1, pools } }).then(texts);
  assert.match((await from('b'))[0]!, /^10\.1\./);
  assert.match((await from('10.1.0.0/24', 'a'))[0]!, /^10\.1\./);
  await assert.rejects(from('off'), { code: 'no-pool', message: 'choose IPPool: "off" is disabled' });
  await assert.rejects(from('c'), { code: 'no-pool', message: 'choose IPPool: "c" is no IPPool for IPv4' });
  assert.equal((await getResource(store, 'IPPool', { name: 'b' }))?.spec.blockSize, 26);
});

test('a pool is deleted with its empty blocks; addresses in use stay with those who have them', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await addPool(store, 'a', '10.0.0.0/30', { blockSize: 31 });
  const [first, second] = [allocator(store, 'n1'), allocator(store, 'n2')];
  await first.one('h1');
  await second.one('h2');
  await second.releaseHandle('h2');
  assert.equal(await deletePool({ store, nowMs: start }, 'a'), true);
  assert.equal(await deletePool({ store, nowMs: start }, 'a'), false);
  assert.deepEqual(
    (await keys(store)).map((key) => key.replace(/10.0.0.\d/, '')),
    ['assignment/ipv4/block/-31', 'handle/h1'],
  );
  await assert.rejects(first.one('h3'), { code: 'no-pool' });
  assert.equal((await first.releaseHandle('h1')).length, 1);
  assert.deepEqual(await keys(store), []);
});
