// `amphipod agent --kubeconfig` as a process, and overlays of several nodes, with leases in the nodes of a Kubernetes cluster. The API
// server is a fake (fake-kube-api.ts).
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import {
  KubernetesClient,
  type Overlay,
  openNodeLeases,
  parseNetworkConfig,
  readUnderlay,
  startOverlay,
} from '@amphipod/fabric';
import { startAgent } from './agent-process.ts';
import { FakeKubeApi } from './fake-kube-api.ts';
import { addPod, createCluster, type TestNode, unreachablePods, until } from './nodes.ts';

const flannel = 'flannel.alpha.coreos.com';
const ip = (...args: string[]) => execFileSync('ip', args, { encoding: 'utf8' });

let dir = '';

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'agent-test-'));
  ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth1');
  for (const link of ['eth0', 'eth1']) ip('link', 'set', link, 'up');
  ip('addr', 'add', '192.0.2.1/24', 'dev', 'eth0');
});

afterEach(() => {
  for (const link of ['eth0', 'flannel.1']) {
    if (existsSync(`/sys/class/net/${link}`)) ip('link', 'del', link);
  }
  execFileSync('nft', ['flush', 'ruleset']);
  rmSync(dir, { recursive: true });
});

/** Another node, with the annotations that its flannel has written. */
function putPeer(api: FakeKubeApi, number: number): void {
  api.putNode(`peer-${number}`, ({ metadata: { annotations }, spec }) => {
    spec.podCIDR = `10.244.${number}.0/24`;
    spec.podCIDRs = [spec.podCIDR];
    annotations[`${flannel}/kube-subnet-manager`] = 'true';
    annotations[`${flannel}/backend-type`] = 'vxlan';
    annotations[`${flannel}/backend-data`] = `{"VNI":1,"VtepMAC":"02:00:00:00:00:0${number}"}`;
    annotations[`${flannel}/public-ip`] = `192.0.2.${number}`;
  });
}

function writeKubeconfig(file: string, server: string): void {
  const text = `current-context: x
contexts: [{name: x, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "${server}"}}]
users: [{name: u, user: {token: secret}}]
`;
  writeFileSync(file, text);
}

test('an agent waits for its podCIDR, annotates its node, serves other nodes, mends its annotations, follows its address', async () => {
  await using api = await new FakeKubeApi({ token: 'secret' }).start();
  putPeer(api, 9);
  const [kubeconfig, netConfig, subnetFile] = ['kubeconfig', 'net-conf.json', 'subnet.env'].map((name) =>
    join(dir, name),
  ) as [string, string, string];
  writeKubeconfig(kubeconfig, api.url);
  writeFileSync(netConfig, '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}');
  const args = ['--kubeconfig', kubeconfig, '--node-name', 'own', '--net-config', netConfig];
  await using agent = startAgent(subnetFile, args);
  await until('it says what it waits for', () => agent.output().includes('the cluster has no such node'));
  api.putNode('own', ({ spec }) => {
    spec.podCIDR = '10.244.1.0/24';
    spec.podCIDRs = [spec.podCIDR];
  });
  await until('the node is told to have a network', () =>
    api.node('own').status.conditions.some(({ reason }) => reason === 'FlannelIsUp'),
  );
  assert.match(readFileSync(subnetFile, 'utf8'), /^FLANNEL_SUBNET=10\.244\.1\.1\/24$/m);
  assert.match(ip('route'), /^10\.244\.9\.0\/24 via 10\.244\.9\.0 dev flannel\.1 proto 97 onlink/m);
  const annotation = (name: string) => api.node('own').metadata.annotations[`${flannel}/${name}`];
  assert.equal(annotation('public-ip'), '192.0.2.1');
  // A node comes while the connection is cut, another goes.
  api.cutWatches();
  putPeer(api, 8);
  api.deleteNode('peer-9');
  await until('its routes are others', () => {
    const routes = ip('route');
    return routes.includes('10.244.8.0/24 via 10.244.8.0') && !routes.includes('10.244.9.0/24');
  });
  api.putNode('own', ({ metadata: { annotations } }) => {
    delete annotations[`${flannel}/backend-data`];
  });
  await until('the annotation is back', () => annotation('backend-data') !== undefined);
  ip('addr', 'del', '192.0.2.1/24', 'dev', 'eth0');
  ip('addr', 'add', '192.0.2.50/24', 'dev', 'eth0');
  await until('its node has the new address', () => annotation('public-ip') === '192.0.2.50');
  agent.child.kill('SIGTERM');
  assert.deepEqual(await once(agent.child, 'exit'), [0, null], agent.output());
  assert.match(ip('route'), /^10\.244\.8\.0\/24 via/m);
});

test('an agent whose node is made anew with another podCIDR ends, for its pods have addresses of another node by now', async () => {
  await using api = await new FakeKubeApi().start();
  const put = (podCIDR: string) =>
    api.putNode('own', ({ spec }) => {
      spec.podCIDR = podCIDR;
    });
  put('10.244.1.0/24');
  const [kubeconfig, netConfig] = [join(dir, 'kubeconfig'), join(dir, 'net-conf.json')];
  writeKubeconfig(kubeconfig, api.url);
  writeFileSync(netConfig, '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}');
  const args = ['--kubeconfig', kubeconfig, '--node-name', 'own', '--net-config', netConfig];
  await using agent = startAgent(join(dir, 'subnet.env'), args);
  await until('it is there', () => agent.output().includes('ready') && api.watchCount === 1);
  api.deleteNode('own');
  put('10.244.2.0/24');
  assert.deepEqual(await once(agent.child, 'exit'), [125, null]);
  assert.match(
    agent.output(),
    /renew subnet lease "10\.244\.1\.0-24": the subnet is not this node's any more/,
  );
});

test('vxlan with leases in Kubernetes: every pod reaches every pod, both families; nothing is left of a node that is taken out', async () => {
  await using api = await new FakeKubeApi().start();
  using cluster = createCluster(3, 'routed');
  using client = new KubernetesClient({
    server: new URL(api.url),
    skipTlsVerify: false,
    credentials: () => ({}),
  });
  const config = parseNetworkConfig(
    '{"Network":"10.244.0.0/16","EnableIPv6":true,"IPv6Network":"fc00:244::/48","Backend":{"Type":"vxlan"}}',
    'test',
  );
  const start = async (node: TestNode): Promise<Overlay> => {
    const name = `node-${node.number}`;
    api.putNode(name, ({ spec }) => {
      spec.podCIDRs = [`10.244.${node.number}.0/24`, `fc00:244:0:${node.number}::/64`];
    });
    const overlay = await startOverlay({
      leases: openNodeLeases({ client, node: name }),
      config,
      underlay: readUnderlay(node.kernel.rtnl, { families: [4, 6], name: 'eth0' }),
      kernel: node.kernel,
      masquerade: true,
    });
    addPod(node, [overlay.lease.subnet!, overlay.lease.ipv6Subnet!], overlay.mtu);
    return overlay;
  };
  const overlays = await Promise.all(cluster.nodes.map(start));
  try {
    await until('every pod reaches every pod', async () => {
      return (await unreachablePods(cluster.nodes, 1430)).length === 0;
    });
    const [first, , third] = cluster.nodes as [TestNode, TestNode, TestNode];
    await overlays[2]![Symbol.asyncDispose]();
    api.deleteNode('node-3');
    const traces = () => {
      const { netns } = first;
      const texts = [
        netns.run('ip', 'route', 'show', 'proto', '97'),
        netns.run('ip', '-6', 'route', 'show', 'proto', '97'),
        netns.run('bridge', 'fdb', 'show', 'dev', 'flannel.1'),
        netns.run('ip', 'neigh', 'show', 'dev', 'flannel.1'),
      ];
      return texts.filter((text) => text.includes(third.ip) || /10\.244\.3\.|fc00:244:0:3:/.test(text));
    };
    await until('nothing is left of it', () => traces().length === 0);
    assert.deepEqual(await unreachablePods(cluster.nodes.slice(0, 2), 1430), []);
  } finally {
    await Promise.all(overlays.map((overlay) => overlay[Symbol.asyncDispose]()));
  }
});
