import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openEmbeddedDatastore } from '../datastore/embedded.ts';
import { formatAffinity } from './block-affinity.ts';
import type { IpPool } from './ip-pool.ts';
import { formatBlock, parseBlock } from './ipam-block.ts';
import { formatHandle } from './ipam-handle.ts';
import { kinds } from './kinds.ts';
import { apiVersion } from './metadata.ts';
import {
  applyResource,
  createResource,
  deleteResource,
  getResource,
  listResources,
  updateResource,
} from './resource-store.ts';
import type { WorkloadEndpoint } from './workload-endpoint.ts';

const metadata = { name: 'blue', uid: 'b3a9', creationTimestamp: '2026-12-01T12:00:00Z' };

function pool(spec: Partial<IpPool['spec']> = {}, more: object = {}): IpPool {
  return {
    kind: 'IPPool',
    apiVersion,
    metadata: { ...metadata, ...more },
    spec: { cidr: '10.0.0.0/16', ...spec },
  };
}

test('a resource is stored where Calico looks for it, as its JSON', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  // Keys in another order than Calico's, as code may have them.
  const { cidr, ...rest } = pool({ natOutgoing: true }).spec;
  await createResource(store, {
    ...pool(),
    spec: { ...rest, cidr },
    metadata: { ...metadata, annotations: { a: '<&>' } },
  } as IpPool);
  assert.equal(
    (await store.get('/calico/resources/v3/projectcalico.org/ippools/blue'))?.value,
    '{"kind":"IPPool","apiVersion":"projectcalico.org/v3","metadata":{"name":"blue","uid":"b3a9",' +
      '"creationTimestamp":"2026-12-01T12:00:00Z","annotations":{"a":"\\u003c\\u0026\\u003e"}},"spec":{"cidr":"10.0.0.0/16",' +
      '"vxlanMode":"Never","ipipMode":"Never","natOutgoing":true,"disabled":false,"disableBGPExport":false,"blockSize":26,' +
      '"nodeSelector":"all()","allowedUses":["Workload","Tunnel"],"assignmentMode":"Automatic"}}',
  );
});

test('a namespaced resource is stored under its namespace; the configuration of IPAM where IPAM reads it', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await createResource(store, {
    kind: 'WorkloadEndpoint',
    apiVersion,
    metadata: { name: 'n-k8s-p-eth0', namespace: 'default' },
    spec: { node: 'n', orchestrator: 'k8s', pod: 'p', endpoint: 'eth0', ipNetworks: ['10.0.0.1/32'] },
  });
  await createResource(store, {
    kind: 'IPAMConfiguration',
    apiVersion,
    metadata: { name: 'default' },
    spec: { strictAffinity: true, maxBlocksPerHost: 4, ipCooldownSeconds: 9 },
  });
  const { entries } = await store.list('/calico/');
  assert.deepEqual(
    entries.map(({ key }) => key),
    [
      '/calico/ipam/v2/config',
      '/calico/resources/v3/projectcalico.org/workloadendpoints/default/n-k8s-p-eth0',
    ],
  );
  assert.equal(
    entries[0]!.value,
    '{"strict_affinity":true,"auto_allocate_blocks":true,"maxBlocksPerHost":4,"ipCooldownSeconds":9}',
  );
  assert.equal((await listResources(store, 'WorkloadEndpoint', { namespace: 'def' })).resources.length, 0);
  assert.deepEqual((await getResource(store, 'IPAMConfiguration', { name: 'default' }))?.spec, {
    strictAffinity: true,
    maxBlocksPerHost: 4,
    autoAllocateBlocks: true,
    ipCooldownSeconds: 9,
  });
});

test('creating what is there, and updating what is not, are errors', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await assert.rejects(updateResource(store, pool()), { code: 'not-found' });
  await assert.rejects(applyResource(store, pool({}, { resourceVersion: '7' })), { code: 'not-found' });
  await createResource(store, pool());
  await assert.rejects(createResource(store, pool()), {
    code: 'already-exists',
    message: 'create IPPool "blue": there is one',
  });
});

test('an update of a revision that is not the last is refused; id and time of creation stay', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  const first = await createResource(store, pool());
  const { resource: second, isNew } = await applyResource(
    store,
    pool({ disabled: true }, { uid: 'another' }),
  );
  assert.equal(isNew, false);
  assert.equal(second.metadata.uid, 'b3a9');
  const stale = { ...first, spec: { ...first.spec, natOutgoing: true } };
  await assert.rejects(updateResource(store, stale), {
    code: 'conflict',
    message: /somebody else has changed it/,
  });
  await assert.rejects(applyResource(store, stale), { code: 'conflict' });
  assert.equal((await getResource(store, 'IPPool', { name: 'blue' }))?.spec.disabled, true);
  await updateResource(store, { ...second, spec: { ...second.spec, natOutgoing: true } });
  assert.equal((await getResource(store, 'IPPool', { name: 'blue' }))?.spec.natOutgoing, true);
});

test('many who apply at once all get through', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await Promise.all(
    Array.from({ length: 8 }, (_, i) => applyResource(store, pool({ natOutgoing: i % 2 === 0 }))),
  );
  assert.equal((await listResources(store, 'IPPool')).resources.length, 1);
  assert.equal(await deleteResource(store, 'IPPool', { name: 'blue' }), true);
  assert.equal(await deleteResource(store, 'IPPool', { name: 'blue' }), false);
});

test('an entry that somebody broke does not hide the others', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await createResource(store, pool());
  const prefix = kinds.IPPool.prefix();
  await store.put(`${prefix}broken`, '{');
  await store.put(`${prefix}wrong`, '{"metadata":{"name":"wrong"},"spec":{"cidr":"10.0.0.0/99"}}');
  const { resources, invalid } = await listResources(store, 'IPPool');
  assert.deepEqual(
    resources.map(({ metadata }) => metadata.name),
    ['blue'],
  );
  assert.match(invalid[0]!.message, /read datastore key ".*ippools\/broken": SyntaxError/);
  assert.match(invalid[1]!.message, /ippools\/wrong": spec.cidr: "10.0.0.0\/99": must be an IP network/);
});

test('keys that a later Calico wrote are kept', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  const key = kinds.BGPPeer.key('a');
  await store.put(key, '{"metadata":{"name":"a"},"spec":{"peerIP":"192.0.2.1","future":{"x":1}}}');
  const peer = (await getResource(store, 'BGPPeer', { name: 'a' }))!;
  await updateResource(store, { ...peer, spec: { ...peer.spec, asNumber: 64512 } });
  assert.match(
    (await store.get(key))!.value,
    /"spec":\{"peerIP":"192.0.2.1","asNumber":64512,"future":\{"x":1\}\}/,
  );
});

test('the entries of IPAM are Calico’s, with sequence numbers of 64 bits', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  const json =
    '{"cidr":"10.0.0.0/30","affinity":"host:n","affinity_claim_time":"2026-12-01T12:00:00Z","allocations":[null,0,null,1],' +
    '"unallocated":[2,0],"attributes":[{"handle_id":"h","secondary":{"node":"n","pod":"p"}},{"releasedAt":"2026-12-01T12:00:00Z"}],' +
    '"sequenceNumber":1764590400123456789,"sequenceNumberForAllocation":{"1":1764590400123456788,"3":1764590400123456787},"deleted":false}';
  const key = '/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-30';
  assert.equal(formatBlock(parseBlock(json, key)), json);
  assert.equal(formatAffinity({ state: 'pending', deleted: false }), '{"state":"pending","deleted":false}');
  assert.equal(
    formatHandle({ block: { '10.0.0.64/26': 1, '10.0.0.0/26': 2 }, deleted: false }),
    '{"block":{"10.0.0.0/26":2,"10.0.0.64/26":1},"deleted":false}',
  );
  await store.put(key, json);
  await store.put('/calico/ipam/v2/host/n/ipv4/block/10.0.0.0-30', '{"state":"confirmed","deleted":false}');
  await store.put('/calico/ipam/v2/handle/Net.id', '{"block":{"10.0.0.0/30":1},"deleted":false}');
  for (const [kind, name] of [
    ['IPAMBlock', '10-0-0-0-30'],
    ['BlockAffinity', 'n-10-0-0-0-30'],
    ['IPAMHandle', 'net.id'],
  ] as const) {
    const { resources, invalid } = await listResources(store, kind);
    assert.deepEqual(invalid, []);
    assert.deepEqual(
      resources.map((resource) => resource.metadata.name),
      [name],
    );
  }
});

const brokenBlocks: [what: string, json: string, message: RegExp][] = [
  ['of another size', '{"cidr":"10.0.0.0/30","allocations":[null]}', /allocations: has 1 entries/],
  [
    'with an index of nothing',
    '{"cidr":"10.0.0.0/31","allocations":[null,4]}',
    /allocations\[1\]: 4: is no index of attributes/,
  ],
  ['without a network', '{}', /cidr: "": must be a network/],
];
for (const [what, json, message] of brokenBlocks) {
  test(`a block ${what} is refused`, () => {
    assert.throws(() => parseBlock(json, '/k'), { code: 'invalid-resource', message });
  });
}

test('a pool keeps its network and block size, and stays apart from other pools and blocks', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await createResource(store, pool());
  const refused = async (change: IpPool, message: RegExp) =>
    await assert.rejects(applyResource(store, change), { code: 'invalid-resource', message });
  await refused(
    pool({ cidr: '10.1.0.0/16' }),
    /spec.cidr: "10.1.0.0\/16": cannot be changed, it was 10.0.0.0\/16/,
  );
  await refused(pool({ blockSize: 27 }), /spec.blockSize: 27: cannot be changed, it was 26/);
  await refused(pool({ cidr: '10.0.4.0/24' }, { name: 'red' }), /overlaps 10.0.0.0\/16 of IPPool "blue"/);
  await store.put('/calico/ipam/v2/assignment/ipv4/block/10.9.0.0-27', '{}');
  await refused(
    pool({ cidr: '10.9.0.0/16' }, { name: 'red' }),
    /spec.blockSize: 26: there is a block of another size, 10.9.0.0\/27/,
  );
  await applyResource(store, pool({ cidr: '10.9.0.0/16', blockSize: 27 }, { name: 'red' }));
});

test('a WorkloadEndpoint has the name that its spec gives it', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  const endpoint = (name: string): WorkloadEndpoint => ({
    kind: 'WorkloadEndpoint',
    apiVersion,
    metadata: { name, namespace: 'default' },
    spec: { node: 'n-1', orchestrator: 'k8s', pod: 'p', endpoint: 'eth0' },
  });
  await assert.rejects(createResource(store, endpoint('n-1-k8s-p-eth0')), {
    message: /metadata.name: "n-1-k8s-p-eth0": must be n--1-k8s-p-eth0/,
  });
  await createResource(store, endpoint('n--1-k8s-p-eth0'));
});
