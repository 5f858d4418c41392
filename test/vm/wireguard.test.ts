// vm: -N
// The backend wireguard on a kernel that has it: three nodes as network namespaces behind a router.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import {
  type Datastore,
  type Overlay,
  openDatastoreLeases,
  openEmbeddedDatastore,
  parseNetworkConfig,
  readUnderlay,
  readWireguardKey,
  startOverlay,
} from '@amphipod/fabric';
import { openGenlIn } from '@amphipod/netlink';
import {
  addPod,
  createCluster,
  type TestCluster,
  type TestNode,
  unreachablePods,
  until,
} from '../cluster/nodes.ts';

const mtu = 1420;
const psk = Buffer.alloc(32, 9).toString('base64');
const shapes: [name: string, backend: object, devices: string[]][] = [
  [
    'a tunnel for each family',
    { PSK: psk, PersistentKeepaliveInterval: 25 },
    ['flannel-wg', 'flannel-wg-v6'],
  ],
  ['one tunnel, over IPv6', { Mode: 'ipv6' }, ['flannel-wg']],
];

interface RunningNode {
  node: TestNode;
  overlay: Overlay;
  mended: number[];
}

async function startNode(
  node: TestNode,
  backend: object,
  [store, dir]: [Datastore, string],
): Promise<RunningNode> {
  const mended: number[] = [];
  node.kernel.genl ??= openGenlIn(node.netns.pin);
  const text = {
    Network: '10.244.0.0/16',
    EnableIPv6: true,
    IPv6Network: 'fc00:244::/48',
    Backend: { Type: 'wireguard', ...backend },
  };
  const overlay = await startOverlay({
    leases: openDatastoreLeases({ store, prefix: '/coreos.com/network' }),
    config: parseNetworkConfig(JSON.stringify(text), 'net-conf.json'),
    underlay: readUnderlay(node.kernel.rtnl, { families: [4, 6], name: 'eth0' }),
    kernel: node.kernel,
    masquerade: true,
    wireguardKey: readWireguardKey(join(dir, `${node.number}.key`)),
    onSync: (count) => mended.push(count),
    onError: (error) => console.error(error),
  });
  return { node, overlay, mended };
}

for (const [name, backend, devices] of shapes) {
  suite(name, () => {
    let dir: string;
    let cluster: TestCluster;
    let running: RunningNode[];
    const store = openEmbeddedDatastore(':memory:');
    const first = () => running[0]!;
    const wg = (...args: string[]) => first().node.netns.run('wg', ...args);
    const untilAllReach = () =>
      until(
        'every pod reaches every pod',
        async () => (await unreachablePods(cluster.nodes, mtu)).length === 0,
      );

    before(async () => {
      dir = mkdtempSync(join(tmpdir(), 'wireguard-test-'));
      cluster = createCluster(3, 'routed');
      running = await Promise.all(cluster.nodes.map((node) => startNode(node, backend, [store, dir])));
      for (const { node, overlay } of running) {
        assert.equal(overlay.mtu, mtu);
        addPod(node, [overlay.lease.subnet!, overlay.lease.ipv6Subnet!], overlay.mtu);
      }
    });

    after(async () => {
      for (const { overlay } of running) await overlay[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
      for (const { kernel } of cluster.nodes) kernel.genl?.close();
      cluster[Symbol.dispose]();
      rmSync(dir, { recursive: true });
    });

    test('every pod reaches every pod, both families, with packets of the full size', untilAllReach);

    test('wg shows devices and peers as flannel makes them', () => {
      assert.deepEqual(wg('show', 'interfaces').split(/\s+/).sort(), devices);
      for (const device of devices) {
        const lines = wg('show', device, 'dump').split('\n').slice(1);
        assert.equal(lines.length, 2);
        for (const line of lines) {
          const [, secret, , allowed, handshake, , , keepalive] = line.split('\t');
          assert.equal(secret, 'PSK' in backend ? psk : '(none)');
          assert.equal(keepalive, 'PSK' in backend ? '25' : 'off');
          assert.equal(allowed!.split(',').length, devices.length === 1 ? 2 : 1);
          assert.ok(Number(handshake) > 0, 'there was no handshake');
        }
      }
    });

    const breakages: [string, (peer: string) => void][] = [
      ['the device is deleted', () => first().node.netns.run('ip', 'link', 'del', 'flannel-wg')],
      ['the device is set down', () => first().node.netns.run('ip', 'link', 'set', 'flannel-wg', 'down')],
      ['a peer is removed', (peer) => wg('set', 'flannel-wg', 'peer', peer, 'remove')],
      [
        'a peer has other networks',
        (peer) => wg('set', 'flannel-wg', 'peer', peer, 'allowed-ips', '192.0.2.0/24'),
      ],
      ['a peer is added', () => wg('set', 'flannel-wg', 'peer', psk, 'allowed-ips', '10.244.0.0/16')],
      ['the port is another', () => wg('set', 'flannel-wg', 'listen-port', '7')],
      [
        'the routes are flushed',
        () => first().node.netns.run('ip', 'route', 'flush', 'dev', 'flannel-wg', 'proto', '97'),
      ],
      [
        'the address is deleted',
        () => first().node.netns.run('ip', '-4', 'addr', 'flush', 'dev', 'flannel-wg'),
      ],
    ];
    for (const [what, damage] of breakages) {
      test(`${what}: it is mended`, async () => {
        const look = () => ({
          config: wg('showconf', 'flannel-wg').split('\n\n').sort(),
          addresses: first().node.netns.run('ip', '-br', 'addr', 'show', 'dev', 'flannel-wg'),
          routes: first().node.netns.run('ip', 'route', 'show', 'dev', 'flannel-wg').split('\n').sort(),
        });
        const expected = look();
        const count = first().mended.length;
        damage(wg('show', 'flannel-wg', 'peers').split('\n')[0]!);
        await until('it is mended', () =>
          first()
            .mended.slice(count)
            .some((mended) => mended > 0),
        );
        await until('all is as before', () => JSON.stringify(look()) === JSON.stringify(expected));
        await untilAllReach();
      });
    }

    test('an agent that comes back finds nothing to mend and keeps its key', async () => {
      const key = wg('show', 'flannel-wg', 'public-key');
      await first().overlay[Symbol.asyncDispose]();
      delete first().node.kernel.writtenRules;
      running[0] = await startNode(first().node, backend, [store, dir]);
      // The rules are written in any case.
      assert.deepEqual(first().mended, [1]);
      assert.equal(wg('show', 'flannel-wg', 'public-key'), key);
    });

    test('a node that goes leaves nothing behind', async () => {
      const { overlay } = running.at(-1)!;
      await overlay.release();
      await until('its peer is gone', () => wg('show', 'flannel-wg', 'peers').split('\n').length === 1);
      assert.equal(first().node.netns.run('ip', 'route', 'show', 'proto', '97').split('\n').length, 1);
    });
  });
}

test('agents as processes: each has a key of its own, and net ping finds that everything works', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'wireguard-test-'));
  using cluster = createCluster(2, 'routed');
  const [first, second] = cluster.nodes as [TestNode, TestNode];
  const config = join(dir, 'net-conf.json');
  writeFileSync(config, '{"Network":"10.244.0.0/16","Backend":{"Type":"wireguard"}}');
  const program = join(import.meta.dirname, '../../bin/amphipod');
  const agents: ChildProcess[] = [];
  const start = ({ number, netns }: TestNode, ...store: string[]) => {
    const at = (name: string) => join(dir, `${number}.${name}`);
    const args = ['--iface', 'eth0', '--subnet-file', at('env'), '--control-socket', at('sock'), ...store];
    agents.push(
      spawn('nsenter', [`--net=${netns.pin}`, program, 'agent', ...args], {
        env: { ...process.env, WIREGUARD_KEY_FILE: at('key') },
        stdio: ['ignore', 'ignore', 'inherit'],
      }),
    );
  };
  const net = (...args: string[]) =>
    first.netns.run(program, 'net', ...args, '--control-socket', join(dir, '1.sock'));
  try {
    const address = `${first.ip}:2379`;
    start(first, '--net-config', config, '--database', join(dir, 'db'), '--serve', address, '--serve-open');
    start(second, '--etcd-endpoints', `http://${address}`);
    await until('they know each other', () => {
      try {
        return /flannel-wg, .*MTU 1420, 1 peer$/m.test(net('status'));
      } catch {
        return false;
      }
    });
    assert.notEqual(readFileSync(join(dir, '1.key'), 'utf8'), readFileSync(join(dir, '2.key'), 'utf8'));
    await until('net ping finds nothing that fails', () => {
      try {
        return /^ok +IPv4 port +UDP port 51820 of \S+: wireguard packets come and go$/m.test(
          net('ping', second.ip),
        );
      } catch {
        return false;
      }
    });
  } finally {
    for (const agent of agents) {
      agent.kill('SIGKILL');
      await once(agent, 'exit');
    }
    rmSync(dir, { recursive: true });
  }
});
