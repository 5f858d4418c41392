/** The plugin calico over a real etcd: what other programs find there, and that a program ends when it has answered. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createResource, type Datastore, openEtcdDatastore } from '@amphipod/fabric';
import { allSubjects } from '../conformance/lib/subjects.ts';
import { type Config, call, failureOf, linkNames, World } from '../conformance/lib/world.ts';
import { type EtcdServer, startEtcd } from './etcd-server.ts';

let etcd: EtcdServer;
let store: Datastore;

before(async () => {
  etcd = await startEtcd();
  store = openEtcdDatastore({ endpoints: etcd.endpoints });
  await createResource(store, {
    kind: 'IPPool',
    apiVersion: 'projectcalico.org/v3',
    metadata: { name: 'pool' },
    spec: { cidr: '10.77.0.0/24' },
  });
});

after(async () => {
  await store[Symbol.asyncDispose]();
  await etcd[Symbol.asyncDispose]();
});

const args = 'IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web';

async function keys(): Promise<string[]> {
  const { entries } = await store.list('/calico/');
  return entries.map(({ key }) => key).filter((key) => !/\/(ippools|assignment|host)\//.test(key));
}

for (const subject of allSubjects.filter(({ isOurs }) => isOurs)) {
  test(`ADD, CHECK, STATUS and DEL over etcd, ${subject.name}`, async () => {
    using world = new World();
    const netns = world.netns('a');
    const config: Config = {
      type: 'calico',
      etcd_endpoints: etcd.endpoints.join(','),
      nodename: 'n1',
      log_level: 'info',
      policy: { type: 'k8s' },
      kubernetes: { kubeconfig: '/etc/cni/net.d/calico-kubeconfig' },
      ipam: { type: 'calico-ipam' },
    };
    const result = await call(subject, 'ADD', config, { netns, args });
    assert.match(result.ips![0]!.address, /^10\.77\.0\.\d+\/32$/);
    assert.deepEqual(await keys(), [
      '/calico/ipam/v2/handle/testnet.c1',
      '/calico/resources/v3/projectcalico.org/workloadendpoints/default/n1-k8s-web-eth0',
    ]);
    await call(subject, 'CHECK', config, { netns, args, prevResult: result });
    await call(subject, 'STATUS', config);
    await call(subject, 'DEL', config, { netns, args, prevResult: result });
    assert.deepEqual(await keys(), []);
    assert.deepEqual(linkNames(), ['lo']);
  });
}

test('while etcd does not answer, ADD is to be tried again later and leaves nothing', async () => {
  using world = new World();
  const subject = allSubjects[0]!;
  const netns = world.netns('a');
  const config: Config = {
    type: 'calico',
    etcd_endpoints: 'http://127.0.0.1:1',
    nodename: 'n1',
    ipam: { type: 'calico-ipam' },
  };
  const error = await failureOf(call(subject, 'ADD', config, { netns, args }));
  assert.equal(error.number, 11);
  assert.match(error.message, /etcd at http:\/\/127.0.0.1:1 does not answer/);
  assert.deepEqual(linkNames(), ['lo']);
});
