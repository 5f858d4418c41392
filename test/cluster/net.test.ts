// What an agent shows of itself, and `amphipod net` against real causes: three nodes behind a router, each with its own agent
// as a process; the first serves its database to the others.
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import type { AgentState, PingCheck } from '@amphipod/fabric';
import { parseCidr } from '@amphipod/netlink';
import { addPod, createCluster, type TestCluster, type TestNode, until } from './nodes.ts';

const program = join(import.meta.dirname, '../../bin/amphipod');
const run = promisify(execFile);
const configs = {
  usual:
    '{"EnableIPv6":true,"Network":"10.244.0.0/16","IPv6Network":"fd00:10:244::/56","Backend":{"Type":"vxlan"}}',
  hostGw: '{"Network":"10.244.0.0/16","Backend":{"Type":"host-gw"}}',
  otherVni: `{"EnableIPv6":true,"Network":"10.244.0.0/16","IPv6Network":"fd00:10:244::/56","Backend":{"Type":"vxlan","VNI":2}}`,
};

let dir: string;
let cluster: TestCluster;
const agents = new Map<number, ChildProcess>();
const socketOf = ({ number }: TestNode) => join(dir, `${number}.sock`);
/** Where the cluster's first node serves the leases. */
let firstAddress: string;
const [metricsPort, healthzPort] = [9101, 9102];

async function startAgent(node: TestNode, config: keyof typeof configs = 'usual'): Promise<void> {
  const { number, netns, ip } = node;
  const isFirst = number % 10 === 1;
  const address: string = isFirst ? `${ip}:2379` : firstAddress;
  if (isFirst) firstAddress = address;
  const store = isFirst
    ? ['--database', join(dir, `${number}.db`), '--serve', address, '--serve-open']
    : ['--etcd-endpoints', `http://${address}`];
  const args = ['agent', '--net-config', join(dir, config), '--control-socket', socketOf(node), ...store];
  args.push(
    '--iface',
    'eth0',
    '--subnet-file',
    join(dir, `${number}.env`),
    '--healthz-port',
    `${healthzPort}`,
  );
  args.push('--metrics-address', `127.0.0.1:${metricsPort}`);
  const child = spawn('nsenter', [`--net=${netns.pin}`, program, ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  agents.set(number, child);
  await until(`agent ${number} is ready`, async () => (await stateOf(node))?.health.unready.length === 0);
}

async function stopAgent({ number }: TestNode): Promise<void> {
  const child = agents.get(number);
  agents.delete(number);
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

/** Runs `amphipod net …` on a node. */
async function net(
  node: TestNode,
  ...args: string[]
): Promise<{ code: number; stdout: string; stderr: string }> {
  const command = [`--net=${node.netns.pin}`, program, 'net', ...args, '--control-socket', socketOf(node)];
  try {
    return { code: 0, ...(await run('nsenter', command)) };
  } catch (error) {
    return error as { code: number; stdout: string; stderr: string };
  }
}

/** Undefined while the agent does not answer. */
async function stateOf(node: TestNode): Promise<AgentState | undefined> {
  const { code, stdout } = await net(node, 'status', '-o', 'json');
  return code === 0 ? (JSON.parse(stdout) as AgentState) : undefined;
}

interface PingResult {
  isOk: boolean;
  checks: PingCheck[];
}

/** Pings `to` from node 1: the failed steps, as `IPv4 port`, and what is said of them. */
async function ping(
  to: string,
  from = node(1),
): Promise<{ failed: string[]; said: string; checks: PingCheck[] }> {
  const { code, stdout } = await net(from, 'ping', to, '-o', 'json');
  const { isOk, checks } = JSON.parse(stdout) as PingResult;
  assert.equal(code, isOk ? 0 : 1);
  const failures = checks.filter(({ status }) => status === 'failed');
  return {
    checks,
    failed: failures.map(({ family, name }) => `IPv${family} ${name}`),
    said: failures.map(({ detail, advice }) => `${detail}. ${advice}`).join('\n'),
  };
}

const node = (number: number) => cluster.nodes[number - 1]!;

before(async () => {
  dir = mkdtempSync(join(tmpdir(), 'net-test-'));
  for (const [name, text] of Object.entries(configs)) writeFileSync(join(dir, name), text);
  cluster = createCluster(3, 'routed');
  for (const one of cluster.nodes) await startAgent(one);
});

after(async () => {
  for (const one of cluster.nodes) await stopAgent(one);
  cluster[Symbol.dispose]();
  rmSync(dir, { recursive: true });
});

test('net status shows lease, devices and nodes; the socket is for root alone', async () => {
  await until(
    'the first knows the others',
    async () => (await stateOf(node(1)))?.overlay?.nodes.length === 2,
  );
  const { overlay, phase, datastore, sync } = (await stateOf(node(1)))!;
  assert.equal(phase, 'running');
  assert.equal(datastore, `the file ${join(dir, '1.db')}, served at http://198.51.1.2:2379`);
  assert.equal(overlay?.backend, 'vxlan');
  assert.deepEqual(overlay.underlay, {
    interface: 'eth0',
    mtu: 1500,
    ip: '198.51.1.2',
    ipv6: '2001:db8:1::2',
  });
  assert.deepEqual(
    overlay.devices.map(({ name, mtu, peers }) => ({ name, mtu, peers })),
    [
      { name: 'flannel.1', mtu: 1450, peers: 2 },
      { name: 'flannel-v6.1', mtu: 1430, peers: 2 },
    ],
  );
  assert.deepEqual(
    overlay.nodes.map(({ publicIp, via, passedOver }) => `${publicIp} ${via} ${passedOver.length}`).sort(),
    ['198.51.2.2 device 0', '198.51.3.2 device 0'],
  );
  assert.equal(sync.failures, 0);
  assert.equal(statSync(socketOf(node(1))).mode & 0o777, 0o600);
  const { stdout } = await net(node(1), 'status');
  assert.match(stdout, /^ready +yes$/m);
  assert.match(stdout, /^device +flannel\.1, 10\.244\.\d+\.0\/32, MTU 1450, 2 peers$/m);
  assert.match(stdout, /^198\.51\.2\.2, 2001:db8:2::2 +10\.244\.\d+\.0\/24, fd00:\S+ +vxlan +device +-$/m);
});

test('a second agent on the same socket is refused', async () => {
  const args = ['agent', '--net-config', join(dir, 'usual'), '--database', join(dir, 'other.db')];
  args.push('--control-socket', socketOf(node(1)), '--subnet-file', join(dir, 'other.env'));
  await assert.rejects(run('nsenter', [`--net=${node(1).netns.pin}`, program, ...args]), {
    code: 125,
    stderr: /1\.sock": another agent is there/,
  });
});

test('metrics, health and readiness tell what happens', async () => {
  const { netns } = node(2);
  const get = (port: number, path: string) =>
    netns.run('busybox', 'wget', '-q', '-O', '-', `http://localhost:${port}${path}`);
  assert.equal(get(healthzPort, '/healthz'), 'ok');
  assert.equal(get(healthzPort, '/readyz'), 'ok');
  const metric = (name: string) => {
    const line = get(metricsPort, '/metrics')
      .split('\n')
      .find((text) => text.startsWith(`${name} `));
    return line === undefined ? undefined : Number(line.slice(name.length + 1));
  };
  assert.equal(metric('amphipod_agent_leases'), 3);
  assert.equal(metric('amphipod_agent_store_up'), 1);
  const [peersBefore, devicesBefore] = ['peer', 'device'].map((kind) =>
    metric(`amphipod_agent_mended_total{kind="${kind}"}`),
  );
  const [entry] = netns.run('bridge', 'fdb', 'show', 'dev', 'flannel.1').split(' ');
  netns.run('bridge', 'fdb', 'del', entry!, 'dev', 'flannel.1');
  await until(
    'the entry is counted',
    () => metric('amphipod_agent_mended_total{kind="peer"}') === peersBefore! + 1,
  );
  assert.equal(metric('amphipod_agent_mended_total{kind="device"}'), devicesBefore);
  assert.ok(metric('amphipod_agent_sync_seconds_count')! > 1);
  assert.equal(metric('amphipod_agent_syncs_total{result="failed"}'), 0);
  assert.ok(metric('amphipod_agent_last_good_sync_timestamp_seconds')! > 1.7e9);
  // The store goes away, and comes back.
  await stopAgent(node(1));
  await until('the store is gone', () => metric('amphipod_agent_store_up') === 0);
  assert.match((await net(node(2), 'status')).stdout, /errors of the datastore, now: .* does not answer/);
  // A lease that is held does not need the store.
  assert.equal(get(healthzPort, '/readyz'), 'ok');
  await startAgent(node(1));
  await until('the store is back', () => metric('amphipod_agent_store_up') === 1);
  assert.ok(metric('amphipod_agent_store_errors_total')! >= 1);
});

test('an agent that cannot have its lease is healthy and not ready, and says why', async () => {
  const { netns } = node(3);
  const socket = join(dir, 'waiting.sock');
  const args = ['agent', '--etcd-endpoints', 'http://127.0.0.1:1', '--control-socket', socket];
  args.push('--subnet-file', join(dir, 'waiting.env'), '--metrics-address', '127.0.0.1:9103');
  const child = spawn('nsenter', [`--net=${netns.pin}`, program, ...args], { stdio: 'ignore' });
  const get = (path: string) => netns.run('busybox', 'wget', '-O', '-', `http://127.0.0.1:9103${path}`);
  try {
    await until('it answers', async () => {
      const { stdout } = await run(program, ['net', 'status', '--control-socket', socket]).catch(() => ({
        stdout: '',
      }));
      return /^ready +no: waiting: .*127\.0\.0\.1:1 does not answer/m.test(stdout);
    });
    assert.equal(get('/healthz'), 'ok');
    assert.throws(() => get('/readyz'), /503/);
  } finally {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
});

test('net ping: everything works, in both families, by address, subnet and address of a pod', async () => {
  const { failed, checks } = await ping('198.51.2.2');
  assert.deepEqual(failed, []);
  assert.deepEqual(
    checks.map(({ family, name, status }) => `IPv${family} ${name} ${status}`),
    [4, 6].flatMap((family) =>
      ['lease', 'underlay', 'underlay MTU', 'port', 'overlay', 'overlay MTU'].map(
        (name) => `IPv${family} ${name} ok`,
      ),
    ),
  );
  const { subnet } = (await stateOf(node(2)))!.overlay!;
  for (const text of [subnet!, subnet!.replace('.0/24', '.7')])
    assert.deepEqual((await ping(text)).failed, []);
  const { code, stderr } = await net(node(1), 'ping', '203.0.113.1');
  assert.equal(code, 125);
  assert.match(stderr, /find node "203\.0\.113\.1": no lease of another node has it/);
});

test('net ping: the UDP port is dropped on the other node', async () => {
  const { netns } = node(2);
  netns.run('nft', 'add table inet wall');
  netns.run('nft', 'add chain inet wall in { type filter hook input priority -200; }');
  netns.run('nft', 'add rule inet wall in meta nfproto ipv4 udp dport 8472 drop');
  const { failed, said } = await ping('198.51.2.2');
  netns.run('nft', 'delete table inet wall');
  assert.deepEqual(failed, ['IPv4 port', 'IPv4 overlay']);
  assert.match(said, /UDP port 8472 of 198\.51\.2\.2: the node answers ping, but no vxlan packet comes back/);
  assert.deepEqual((await ping('198.51.2.2')).failed, []);
});

test('net ping: a rule of this node drops what goes out', async () => {
  const { netns } = node(1);
  netns.run('nft', 'add table inet wall');
  netns.run('nft', 'add chain inet wall out { type filter hook output priority 0; }');
  netns.run('nft', 'add rule inet wall out udp dport 8472 drop');
  const { failed, said } = await ping('198.51.2.2');
  netns.run('nft', 'delete table inet wall');
  assert.deepEqual(failed, ['IPv4 port', 'IPv4 overlay', 'IPv6 port', 'IPv6 overlay']);
  assert.match(said, /UDP port 8472 of \S+: not sent: a rule of this node drops it/);
});

test('net ping: the MTU on the way is smaller than the overlay needs', async () => {
  const { middle } = cluster;
  middle.run('ip', 'link', 'set', 'n2', 'mtu', '1400');
  const { failed, said } = await ping('198.51.2.2');
  middle.run('ip', 'link', 'set', 'n2', 'mtu', '1500');
  assert.ok(failed.includes('IPv4 underlay MTU') && failed.includes('IPv6 underlay MTU'), failed.join());
  assert.ok(!failed.includes('IPv4 port') && !failed.includes('IPv6 port'), failed.join());
  assert.match(said, /1480 bytes here, only 1400 pass: the limit is at 198\.51\.1\.1, which says 1400/);
  assert.match(said, /1500 bytes here, only 1400 pass: the limit is at 2001:db8:1::1, which says 1400/);
  assert.match(said, /set Backend\.MTU to 1400/);
});

test('net ping: the node has no device, for nobody made one', async () => {
  const { netns } = node(2);
  await stopAgent(node(2));
  for (const link of ['flannel.1', 'flannel-v6.1']) netns.run('ip', 'link', 'del', link);
  const { failed, said } = await ping('198.51.2.2');
  await startAgent(node(2));
  assert.deepEqual(failed, ['IPv4 port', 'IPv4 overlay', 'IPv6 port', 'IPv6 overlay']);
  assert.match(said, /nobody listens there\. .*does the agent run on that node/);
});

test('net ping: the other node has another VNI', async () => {
  const { netns } = node(3);
  await stopAgent(node(3));
  for (const link of ['flannel.1', 'flannel-v6.1']) netns.run('ip', 'link', 'del', link);
  await startAgent(node(3), 'otherVni');
  await until('the first has heard of it', async () =>
    (await stateOf(node(1)))!.overlay!.nodes.some(({ vni }) => vni === 2),
  );
  const { failed, said } = await ping('198.51.3.2');
  assert.deepEqual(
    failed.filter((step) => step.endsWith('lease')),
    ['IPv4 lease', 'IPv6 lease'],
  );
  assert.match(said, /its VXLAN network identifier \(VNI\) is 2, ours 1\. both nodes must have the same/);
});

test('net ping: the node is gone', async () => {
  node(3).netns.run('ip', 'link', 'set', 'eth0', 'down');
  const { failed, said, checks } = await ping('198.51.3.2');
  assert.ok(failed.includes('IPv4 underlay') && failed.includes('IPv6 underlay'), failed.join());
  assert.ok(checks.every(({ name, status }) => name !== 'port' || status === 'skipped'));
  assert.match(said, /198\.51\.1\.2 to 198\.51\.3\.2: (no answer|host unreachable)/);
});

test('net ping with host-gw: there is no port, and an address in the overlay only while there are pods', async () => {
  using nodes = createCluster(2, 'switched');
  // Apart from those of the other cluster, by their numbers.
  const [first, second] = nodes.nodes as [TestNode, TestNode];
  for (const one of nodes.nodes) one.number += 10;
  try {
    for (const one of nodes.nodes) await startAgent(one, 'hostGw');
    await until('they know each other', async () => (await stateOf(first))?.overlay?.nodes.length === 1);
    assert.equal((await stateOf(first))!.overlay!.nodes[0]!.via, 'link');
    const steps = async () =>
      (await ping(second.ip, first)).checks.map(({ name, status }) => `${name} ${status}`);
    const works = ['lease ok', 'underlay ok', 'underlay MTU ok'];
    assert.deepEqual(await steps(), [...works, 'overlay skipped', 'overlay MTU skipped']);
    addPod(second, [parseCidr((await stateOf(second))!.overlay!.subnet!)], 1500);
    assert.deepEqual(await steps(), [...works, 'overlay ok', 'overlay MTU ok']);
  } finally {
    for (const one of nodes.nodes) await stopAgent(one);
  }
});
