import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCidr, parseCidr, parseIp } from '@amphipod/netlink';
import type { Datastore } from '../datastore/datastore.ts';
import { openEmbeddedDatastore } from '../datastore/embedded.ts';
import { acquireLease, leasesPrefix, renewLease } from './acquire-lease.ts';
import { formatAttributes, type LeaseAttributes, leaseName } from './lease.ts';
import { parseNetworkConfig } from './network-config.ts';

const prefix = '/coreos.com/network';
/** Three subnets: 10.0.0.64, 10.0.0.128, 10.0.0.192. */
const small = parseNetworkConfig(
  '{"Network":"10.0.0.0/24","SubnetLen":26,"Backend":{"Type":"host-gw"}}',
  'a',
);

function node(number: number): LeaseAttributes {
  return { backendType: 'host-gw', publicIp: parseIp(`192.0.2.${number}`) };
}

const acquire = (store: Datastore, number: number, previous?: string) =>
  acquireLease({ store, prefix }, small, {
    attributes: node(number),
    ...(previous !== undefined && { previous: { subnet: parseCidr(previous) } }),
  });

test('each node gets a subnet of its own, also when all ask at once; then there are no more', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  const leases = await Promise.all([1, 2, 3].map((number) => acquire(store, number)));
  const names = leases.map(({ lease }) => leaseName(lease)).toSorted();
  assert.deepEqual(names, ['10.0.0.128-26', '10.0.0.192-26', '10.0.0.64-26']);
  await assert.rejects(acquire(store, 4), {
    code: 'no-free-subnet',
    message: /10\.0\.0\.0\/24 from 10\.0\.0\.64\/26 to 10\.0\.0\.192\/26 are taken/,
  });
});

test('a lost race is run again', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  let races = 0;
  const racing: Datastore = Object.assign(Object.create(store) as Datastore, {
    get: store.get.bind(store),
    list: store.list.bind(store),
    // Another node takes the wanted subnet just before us, twice.
    put: async (key: string, value: string, options: object) => {
      if (races++ < 2) await store.put(key, formatAttributes(node(100 + races)));
      return store.put(key, value, options);
    },
  });
  const { lease } = await acquire(racing, 1);
  assert.equal(races, 3);
  const { entries } = await store.list(leasesPrefix(prefix));
  assert.equal(entries.length, 3);
  assert.ok(entries.some(({ key }) => key.endsWith(leaseName(lease))));
});

test('a node that comes back gets the lease of its public address again, with what it tells now', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  const first = await acquire(store, 1);
  const attributes = { ...node(1), vtepMac: 'aa:bb:cc:00:00:01', vni: 1 };
  const again = await acquireLease({ store, prefix }, small, { attributes });
  assert.equal(again.entry.key, first.entry.key);
  assert.equal((await store.get(first.entry.key))?.value, formatAttributes(attributes));
  assert.equal((await store.list(leasesPrefix(prefix))).entries.length, 1);
});

test('a reservation is used and stays one', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await store.put(`${leasesPrefix(prefix)}10.0.0.192-26`, '{"PublicIP":"192.0.2.1"}');
  const { lease, entry } = await acquire(store, 1);
  assert.equal(leaseName(lease), '10.0.0.192-26');
  assert.equal(entry.leaseId, undefined);
});

test('the subnet of the last time is kept unless it is taken or of another network', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  assert.equal(leaseName((await acquire(store, 1, '10.0.0.128/26')).lease), '10.0.0.128-26');
  assert.notEqual(leaseName((await acquire(store, 2, '10.0.0.128/26')).lease), '10.0.0.128-26');
  const third = await acquire(store, 3, '10.9.0.0/26');
  assert.match(leaseName(third.lease), /^10\.0\.0\./);
});

test('a lease of the node that does not fit the configuration is given up', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await store.put(`${leasesPrefix(prefix)}10.9.0.0-24`, formatAttributes(node(1)), { ttlSeconds: 60 });
  const { entry } = await acquire(store, 1);
  assert.deepEqual((await store.list(leasesPrefix(prefix))).entries, [entry]);
});

test('subnets of another size are not given out twice', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  await store.put(`${leasesPrefix(prefix)}10.0.0.128-25`, formatAttributes(node(9)));
  assert.equal(leaseName((await acquire(store, 1)).lease), '10.0.0.64-26');
  await assert.rejects(acquire(store, 2), { code: 'no-free-subnet' });
});

test('renewing: the same lease, written again when it ran out, undefined when another node has it', async () => {
  let now = 0;
  await using store = openEmbeddedDatastore(':memory:', { now: () => now });
  const own = await acquireLease({ store, prefix }, small, { attributes: node(1), ttlSeconds: 100 });
  const options = { ttlSeconds: 100 };
  now = 90_000;
  assert.deepEqual(await renewLease({ store, prefix }, own, options), own);
  now = 189_000;
  assert.deepEqual(await store.get(own.entry.key), own.entry);
  now = 191_000;
  assert.equal(await store.get(own.entry.key), undefined);
  const again = await renewLease({ store, prefix }, own, options);
  assert.deepEqual(await store.get(own.entry.key), again?.entry);
  await store.put(own.entry.key, formatAttributes(node(2)));
  assert.equal(await renewLease({ store, prefix }, own, options), undefined);
});

test('both families in one lease', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  const config = parseNetworkConfig(
    '{"Network":"10.0.0.0/16","EnableIPv6":true,"IPv6Network":"fc00::/48","Backend":{"Type":"host-gw"}}',
    'a',
  );
  const attributes = { ...node(1), publicIpv6: parseIp('2001:db8::1') };
  const { entry } = await acquireLease({ store, prefix }, config, { attributes });
  assert.match(entry.key, /\/subnets\/10\.0\.\d+\.0-24&fc00:0:0:[0-9a-f]+::-64$/);
});

test('of two nodes that choose the same subnet of one family the second chooses again', async () => {
  await using store = openEmbeddedDatastore(':memory:');
  // Eight subnets of IPv6 for six nodes that ask at once: some are bound to want the same.
  const config = parseNetworkConfig(
    JSON.stringify({
      Network: '10.0.0.0/16',
      EnableIPv6: true,
      IPv6Network: 'fc00::/120',
      IPv6SubnetLen: 123,
      Backend: { Type: 'host-gw' },
    }),
    'a',
  );
  const leases = await Promise.all(
    [1, 2, 3, 4, 5, 6].map((number) => acquireLease({ store, prefix }, config, { attributes: node(number) })),
  );
  const names = leases.map(({ lease: { ipv6Subnet } }) => formatCidr(ipv6Subnet!));
  assert.equal(new Set(names).size, 6);
  const { entries } = await store.list(leasesPrefix(prefix));
  assert.deepEqual(entries.map(({ key }) => key).toSorted(), leases.map(({ entry }) => entry.key).toSorted());
});
