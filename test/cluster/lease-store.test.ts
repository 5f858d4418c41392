// One suite over all places where leases are kept: embedded, etcd, and the nodes of a Kubernetes cluster, whose API server is a fake
// (fake-kube-api.ts).
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import {
  type Datastore,
  KubernetesClient,
  type LeaseStore,
  type LeasesEvent,
  openDatastoreLeases,
  openEmbeddedDatastore,
  openEtcdDatastore,
  openNodeLeases,
  parseNetworkConfig,
} from '@amphipod/fabric';
import { formatCidr, parseIp } from '@amphipod/netlink';
import { type EtcdServer, startEtcd } from './etcd-server.ts';
import { FakeKubeApi } from './fake-kube-api.ts';

const config = parseNetworkConfig(
  '{"Network":"10.9.0.0/16","EnableIPv6":true,"IPv6Network":"fc00:9::/48","Backend":{"Type":"vxlan"}}',
  'test',
);

function attributesOf(number: number, macNumber = number) {
  const last = macNumber.toString(16).padStart(2, '0');
  return {
    backendType: 'vxlan',
    publicIp: parseIp(`192.0.2.${number}`),
    publicIpv6: parseIp(`2001:db8::${number}`),
    vtepMac: `02:00:00:00:00:${last}`,
    ipv6VtepMac: `02:00:00:00:06:${last}`,
    vni: 1,
  };
}

interface Subject {
  name: string;
  start(): Promise<void>;
  stop(): Promise<void>;
  /** The leases as a node of this number uses them. */
  open(number: number): Opened;
  /** Takes a node out, as when it is gone for good. */
  removeNode(id: string): Promise<void>;
  /** Writes another hardware address into the lease of a node, behind its back. */
  falsify(id: string): Promise<void>;
}

interface Opened extends AsyncDisposable {
  leases: LeaseStore;
}

const prefix = '/coreos.com/network';

function datastoreSubject(
  name: string,
  server: () => Promise<{ open(): Datastore; stop(): Promise<void> }>,
): Subject {
  let running: Awaited<ReturnType<typeof server>>;
  let own: Datastore;
  return {
    name,
    start: async () => {
      running = await server();
      own = running.open();
    },
    stop: async () => {
      await own[Symbol.asyncDispose]();
      await running.stop();
    },
    open: () => ({
      leases: openDatastoreLeases({ store: own, prefix }),
      [Symbol.asyncDispose]: async () => {},
    }),
    removeNode: async (id) => {
      assert.equal(await own.delete(id), true);
    },
    falsify: async (id) => {
      const entry = await own.get(id);
      await own.put(id, entry!.value.replace(/02:00:00:00:00:../, '02:ff:ff:ff:ff:ff'), { ttlSeconds: 60 });
    },
  };
}

function kubernetesSubject(): Subject {
  const api = new FakeKubeApi({ token: 'secret' });
  return {
    name: 'kubernetes (a fake API server)',
    start: async () => {
      await api.start();
      for (let number = 1; number <= 9; number++) {
        api.putNode(`node-${number}`, ({ spec }) => {
          spec.podCIDR = `10.9.${number}.0/24`;
          spec.podCIDRs = [`10.9.${number}.0/24`, `fc00:9:0:${number}::/64`];
        });
      }
    },
    stop: () => api.stop(),
    open: (number) => {
      const client = new KubernetesClient({
        server: new URL(api.url),
        skipTlsVerify: false,
        credentials: () => ({ token: 'secret' }),
      });
      return {
        leases: openNodeLeases({ client, node: `node-${number}` }),
        [Symbol.asyncDispose]: async () => client[Symbol.dispose](),
      };
    },
    removeNode: async (id) => api.deleteNode(id),
    falsify: async (id) => {
      api.putNode(id, ({ metadata: { annotations } }) => {
        annotations['flannel.alpha.coreos.com/backend-data'] = '{"VNI":1,"VtepMAC":"02:ff:ff:ff:ff:ff"}';
      });
    },
  };
}

const subjects = [
  datastoreSubject('embedded', async () => ({
    open: () => openEmbeddedDatastore(':memory:'),
    stop: async () => {},
  })),
  datastoreSubject('etcd', async () => {
    const server: EtcdServer = await startEtcd();
    return {
      open: () => openEtcdDatastore({ endpoints: server.endpoints }),
      stop: async () => server[Symbol.asyncDispose](),
    };
  }),
  kubernetesSubject(),
];

/** Follows a watch, as a table of what is there by now. */
function follow(leases: LeaseStore, fromRevision?: string) {
  const stop = new AbortController();
  const options = { signal: stop.signal, ...(fromRevision !== undefined && { fromRevision }) };
  const events = leases.watch(options)[Symbol.asyncIterator]();
  const table = new Map<string, string>();
  const kinds: LeasesEvent['type'][] = [];
  const learn = (event: LeasesEvent) => {
    kinds.push(event.type);
    if (event.type === 'snapshot') {
      table.clear();
      for (const [id, lease] of event.leases) table.set(id, lease.attributes.vtepMac!);
      return;
    }
    for (const change of event.changes) {
      if (change.type === 'delete') table.delete(change.id);
      else table.set(change.id, change.lease.attributes.vtepMac!);
    }
  };
  return {
    table,
    kinds,
    async until(isSo: () => boolean): Promise<void> {
      while (!isSo()) {
        const { value, done } = await events.next();
        assert.ok(!done, 'the watch has ended');
        learn(value);
      }
    },
    async end(): Promise<void> {
      stop.abort();
      assert.equal((await events.next()).done, true);
    },
  };
}

for (const subject of subjects) {
  suite(`leases: ${subject.name}`, () => {
    before(() => subject.start());
    after(() => subject.stop());

    test('nodes get subnets of their own, both families, and see each other as they told of themselves', async () => {
      await using first = subject.open(1);
      await using second = subject.open(2);
      const own = await first.leases.acquire(config, { attributes: attributesOf(1) });
      const other = await second.leases.acquire(config, { attributes: attributesOf(2) });
      await first.leases.announceReady();
      const { leases } = await first.leases.list();
      assert.deepEqual(leases.get(own.id), own.lease);
      assert.deepEqual(leases.get(other.id), other.lease);
      assert.notEqual(formatCidr(own.lease.subnet!), formatCidr(other.lease.subnet!));
      assert.match(formatCidr(own.lease.subnet!), /^10\.9\.\d+\.0\/24$/);
      assert.match(formatCidr(own.lease.ipv6Subnet!), /^fc00:9:0:[0-9a-f]+::\/64$/);
    });

    test('a node that comes back has its subnets again, with what it tells now', async () => {
      await using opened = subject.open(3);
      const before = await opened.leases.acquire(config, { attributes: attributesOf(3) });
      const after = await opened.leases.acquire(config, { attributes: attributesOf(3, 33) });
      assert.equal(after.id, before.id);
      assert.deepEqual(after.lease.subnet, before.lease.subnet);
      const { leases } = await opened.leases.list();
      assert.equal(leases.get(after.id)?.attributes.vtepMac, '02:00:00:00:00:21');
    });

    test('a watch from a list on tells of nodes that come, change and go', async () => {
      await using opened = subject.open(4);
      await using other = subject.open(5);
      const { revision } = await opened.leases.list();
      const watch = follow(opened.leases, revision);
      const { id } = await other.leases.acquire(config, { attributes: attributesOf(5) });
      await watch.until(() => watch.table.get(id) === '02:00:00:00:00:05');
      await other.leases.acquire(config, { attributes: attributesOf(5, 55) });
      await watch.until(() => watch.table.get(id) === '02:00:00:00:00:37');
      await subject.removeNode(id);
      await watch.until(() => !watch.table.has(id));
      assert.ok(!watch.kinds.includes('snapshot'));
      await watch.end();
    });

    test('a watch from nowhere begins with what is there', async () => {
      await using opened = subject.open(6);
      const { id } = await opened.leases.acquire(config, { attributes: attributesOf(6) });
      const watch = follow(opened.leases);
      await watch.until(() => watch.kinds.length === 1);
      assert.deepEqual(watch.kinds, ['snapshot']);
      assert.equal(watch.table.get(id), '02:00:00:00:00:06');
      await watch.end();
    });

    test('a lease that somebody has falsified is put right when it is renewed', async () => {
      await using opened = subject.open(7);
      const own = await opened.leases.acquire(config, { attributes: attributesOf(7) });
      const watch = follow(opened.leases);
      await subject.falsify(own.id);
      await watch.until(() => watch.table.get(own.id) === '02:ff:ff:ff:ff:ff');
      assert.deepEqual((await opened.leases.renew(own))?.lease, own.lease);
      await watch.until(() => watch.table.get(own.id) === '02:00:00:00:00:07');
      await watch.end();
    });

    test('renewing a lease that is right is nothing to tell of', async () => {
      await using opened = subject.open(8);
      await using other = subject.open(9);
      const own = await opened.leases.acquire(config, { attributes: attributesOf(8) });
      const { revision } = await opened.leases.list();
      const watch = follow(opened.leases, revision);
      assert.deepEqual(await opened.leases.renew(own), own);
      const { id } = await other.leases.acquire(config, { attributes: attributesOf(9) });
      await watch.until(() => watch.table.has(id));
      assert.deepEqual([...watch.table.keys()], [id]);
      await watch.end();
    });

    test('a call whose signal is aborted is rejected with its reason', async () => {
      await using opened = subject.open(9);
      const reason = new Error('enough');
      const signal = AbortSignal.abort(reason);
      await assert.rejects(opened.leases.list({ signal }), reason);
      await assert.rejects(opened.leases.acquire(config, { attributes: attributesOf(9), signal }), reason);
    });
  });
}
