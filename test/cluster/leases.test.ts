// Many agents that want leases of one etcd at the same time.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { acquireLease, leasesPrefix, openEtcdDatastore, parseNetworkConfig } from '@amphipod/fabric';
import { formatCidr, parseIp } from '@amphipod/netlink';
import { etcdGateway, startEtcd } from './etcd-server.ts';

const prefix = '/coreos.com/network';
/** Fifteen subnets. */
const text = '{"Network":"10.9.0.0/20","SubnetLen":24,"Backend":{"Type":"vxlan"}}';

test('sixteen agents race for fifteen subnets: each gets one of its own, one gets none, and nothing else is left', async () => {
  await using server = await startEtcd();
  const config = parseNetworkConfig(text, 'test');
  const stores = Array.from({ length: 16 }, () => openEtcdDatastore({ endpoints: server.endpoints }));
  try {
    const results = await Promise.allSettled(
      stores.map((store, i) =>
        acquireLease({ store, prefix }, config, {
          attributes: {
            backendType: 'vxlan',
            publicIp: parseIp(`192.0.2.${i + 1}`),
            vtepMac: '02:00:00:00:00:01',
            vni: 1,
          },
        }),
      ),
    );
    const leases = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
    assert.deepEqual(
      failures.map((error: { code: string }) => error.code),
      ['no-free-subnet'],
    );
    assert.equal(new Set(leases.map(({ lease }) => formatCidr(lease.subnet!))).size, 15);
    const { entries } = await stores[0]!.list(leasesPrefix(prefix));
    assert.deepEqual(
      entries.map(({ key }) => key),
      leases.map(({ entry }) => entry.key).toSorted(),
    );
    // Leases of those who lost a race were given back.
    const { leases: granted } = (await etcdGateway(server.endpoints[0]!, 'lease/leases', {})) as {
      leases: unknown[];
    };
    assert.equal(granted.length, 15);
  } finally {
    for (const store of stores) await store[Symbol.asyncDispose]();
  }
});
