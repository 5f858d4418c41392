/** The plugin calico over a real etcd: what other programs find there, and that a program ends when it has answered. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createResource, type Datastore, getResource, openEtcdDatastore } from '@amphipod/fabric';
import { allSubjects } from '../conformance/lib/subjects.ts';
import { type Config, call, failureOf, linkNames, World } from '../conformance/lib/world.ts';
import { type EtcdServer, startEtcd } from './etcd-server.ts';
import { startFakePodApi } from './fake-pod-api.ts';

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
  await createResource(store, {
    kind: 'IPPool',
    apiVersion: 'projectcalico.org/v3',
    metadata: { name: 'other' },
    spec: { cidr: '10.78.0.0/24', namespaceSelector: 'team == "red"', allowedUses: ['Workload'] },
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

const pods = '/api/v1/namespaces/default/pods/';
const pod = {
  metadata: {
    generateName: 'web-',
    labels: { app: 'web' },
    annotations: { 'cni.projectcalico.org/hwAddr': '02:00:5e:00:53:01' },
  },
  spec: {
    serviceAccountName: 'robot',
    containers: [
      {
        ports: [
          { name: 'http', containerPort: 80 },
          { containerPort: 81 },
          { containerPort: 53, hostPort: 5353, protocol: 'UDP' },
        ],
      },
    ],
  },
};

for (const subject of allSubjects.filter(({ isOurs }) => isOurs)) {
  test(`what Kubernetes says of a pod goes into addresses and endpoint, ${subject.name}`, async () => {
    using world = new World();
    const kubeconfig = join(world.dir, 'kubeconfig');
    await using api = await startFakePodApi(kubeconfig);
    const netns = world.netns('a');
    const config: Config = {
      type: 'calico',
      etcd_endpoints: etcd.endpoints.join(','),
      nodename: 'n1',
      policy: { type: 'k8s' },
      kubernetes: { kubeconfig },
      ipam: { type: 'calico-ipam' },
    };
    const missing = await failureOf(call(subject, 'ADD', config, { netns, args }));
    assert.match(missing.message, /get (namespace "default"|pod "default\/web"): the API server says 404/);
    api.objects.set(`${pods}web`, pod);
    const ns = { metadata: { labels: { team: 'blue' }, annotations: {} as Record<string, string> } };
    api.objects.set('/api/v1/namespaces/default', ns);
    const result = await call(subject, 'ADD', config, { netns, args });
    // The other pool does not select the namespace.
    assert.match(result.ips![0]!.address, /^10\.77\.0\./);
    const name = 'n1-k8s-web-eth0';
    const endpoint = (await getResource(store, 'WorkloadEndpoint', { name, namespace: 'default' }))!;
    assert.deepEqual(endpoint.metadata.labels, {
      app: 'web',
      'projectcalico.org/namespace': 'default',
      'projectcalico.org/orchestrator': 'k8s',
      'projectcalico.org/serviceaccount': 'robot',
    });
    assert.equal(endpoint.metadata.generateName, 'web-');
    const { profiles, ports, serviceAccountName, mac } = endpoint.spec;
    assert.deepEqual([serviceAccountName, mac], ['robot', '02:00:5e:00:53:01']);
    assert.deepEqual(profiles, ['kns.default', 'ksa.default.robot']);
    assert.deepEqual(ports, [
      { name: 'http', protocol: 'TCP', port: 80, hostPort: 0, hostIP: '' },
      { name: '', protocol: 'UDP', port: 53, hostPort: 5353, hostIP: '' },
    ]);
    // DEL asks Kubernetes nothing: the pod may be gone.
    api.objects.clear();
    api.requests.length = 0;
    await call(subject, 'DEL', config, { netns, args, prevResult: result });
    assert.deepEqual([api.requests, await keys()], [[], []]);

    api.objects.set(`${pods}web`, { ...pod, metadata: { annotations: {} } });
    ns.metadata.annotations['cni.projectcalico.org/ipv4pools'] = '["other"]';
    api.objects.set('/api/v1/namespaces/default', ns);
    const fromOther = await call(subject, 'ADD', config, { netns, args });
    assert.match(fromOther.ips![0]!.address, /^10\.78\.0\./);
    await call(subject, 'DEL', config, { netns, args, prevResult: fromOther });
    const noFile = { ...config, kubernetes: { kubeconfig: '/nonexistent' } };
    const error = await failureOf(call(subject, 'ADD', noFile, { netns, args }));
    assert.match(error.message, /key "kubernetes.kubeconfig": ENOENT/);
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
