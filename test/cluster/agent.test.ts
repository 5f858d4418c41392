// `amphipod agent` as a process, in the test's own network namespace, with a real etcd.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { openEtcdDatastore } from '@amphipod/fabric';
import { startAgent as startAgentProcess } from './agent-process.ts';
import { startEtcd } from './etcd-server.ts';
import { until } from './nodes.ts';

const prefix = '/coreos.com/network';
const config = '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}';
const peer = {
  key: `${prefix}/subnets/10.244.9.0-24`,
  value:
    '{"PublicIP":"192.0.2.9","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:09"}}',
};
let dir = '';
const subnetFile = () => join(dir, 'flannel', 'subnet.env');
const ip = (...args: string[]) => execFileSync('ip', args, { encoding: 'utf8' });

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

const startAgent = (...args: string[]) => startAgentProcess(subnetFile(), args);

test('with etcd: waits for the configuration, leases a subnet, serves other nodes, follows its address, ends and leaves the kernel', async () => {
  await using server = await startEtcd();
  await using store = openEtcdDatastore({ endpoints: server.endpoints });
  await store.put(peer.key, peer.value);
  await using agent = startAgent('--etcd-endpoints', server.endpoints.join(','), '--ip-masq');
  await until('it says what it waits for', () =>
    agent.output().includes('has no key "/coreos.com/network/config"'),
  );
  await store.put(`${prefix}/config`, config);
  await until('there is a subnet file', () => existsSync(subnetFile()));
  const text = readFileSync(subnetFile(), 'utf8');
  const [, subnet] = /^FLANNEL_SUBNET=(10\.244\.\d+)\.1\/24$/m.exec(text)!;
  assert.match(text, /^FLANNEL_NETWORK=10\.244\.0\.0\/16$[\s\S]*^FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n$/m);
  assert.match(ip('route'), /^10\.244\.9\.0\/24 via 10\.244\.9\.0 dev flannel\.1 proto 97 onlink/m);
  const key = `${prefix}/subnets/${subnet}.0-24`;
  assert.match(
    (await store.get(key))!.value,
    /^\{"PublicIP":"192\.0\.2\.1","PublicIPv6":null,"BackendType":"vxlan",/,
  );
  // A node goes, another comes.
  await store.delete(peer.key);
  await store.put(peer.key.replace('.9.0-', '.8.0-'), peer.value);
  await until('its routes are others', () => {
    const routes = ip('route');
    return routes.includes('10.244.8.0/24 via 10.244.8.0') && !routes.includes('10.244.9.0/24');
  });
  ip('addr', 'del', '192.0.2.1/24', 'dev', 'eth0');
  ip('addr', 'add', '192.0.2.50/24', 'dev', 'eth0');
  await until('its lease has the new address', async () =>
    (await store.list(`${prefix}/subnets/`)).entries.some(({ value }) => value.includes('"192.0.2.50"')),
  );
  assert.match((await store.get(key))?.value ?? '', /"192\.0\.2\.50"/);
  await until('its device has the new address', () => ip('-d', 'link').includes('local 192.0.2.50'));
  agent.child.kill('SIGTERM');
  assert.deepEqual(await once(agent.child, 'exit'), [0, null], agent.output());
  assert.match(ip('route'), /^10\.244\.8\.0\/24 via/m);
  assert.equal(readFileSync(subnetFile(), 'utf8'), text);
});

test('one node with a file: the subnet is kept over restarts', async () => {
  const file = join(dir, 'net-conf.json');
  writeFileSync(file, config);
  const args = ['--net-config', file, '--database', join(dir, 'state', 'agent.db')];
  const subnets: string[] = [];
  for (let run = 0; run < 2; run++) {
    rmSync(subnetFile(), { force: true });
    await using agent = startAgent(...args);
    await until('there is a subnet file', () => existsSync(subnetFile()));
    subnets.push(readFileSync(subnetFile(), 'utf8'));
    agent.child.kill('SIGTERM');
    assert.deepEqual(await once(agent.child, 'exit'), [0, null], agent.output());
  }
  assert.equal(subnets[0], subnets[1]);
});

test('a mistake ends it with what is wrong', async () => {
  const file = join(dir, 'net-conf.json');
  writeFileSync(file, config.replace('/16', '/30'));
  const cases: [string[], RegExp][] = [
    [[], /give --etcd-endpoints, --kube, --kubeconfig or --net-config/],
    [
      ['--etcd-endpoints', 'http://127.0.0.1:1', '--kubeconfig', file],
      /--kubeconfig: not with --etcd-endpoints/,
    ],
    [
      ['--net-config', file, '--database', join(dir, 'a.db')],
      /net-conf\.json": Network: "10\.244\.0\.0\/30": is too small/,
    ],
    [['--etcd-endpoints', 'http://127.0.0.1:1', '--etcd-certfile', file], /give both or neither/],
  ];
  for (const [args, message] of cases) {
    await using agent = startAgent(...args);
    const [code] = (await once(agent.child, 'close')) as [number];
    assert.equal(code, 125);
    assert.match(agent.output(), message);
  }
});
