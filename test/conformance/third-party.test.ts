import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { describe, test } from 'node:test';
import {
  type Attachment,
  type CniError,
  createCni,
  createInvoker,
  parseNetworkConfigList,
} from '@amphipod/cni';
import { hostLocal } from './lib/configs.ts';
import { NoopPlugin } from './lib/noop-plugin.ts';
import { subjects } from './lib/subjects.ts';
import { addresses, call, failureOf, links, run, World } from './lib/world.ts';

interface Chain {
  name: string;
  plugins: (world: World) => { type: string; [key: string]: unknown }[];
  /** Makes what the plugins need on the host. */
  prepare?: () => void;
  capabilityArgs?: Record<string, unknown>;
  /** Link kind that the kernel has to have. */
  kind?: string;
  /** Why CHECK is not tried. */
  noCheck?: string;
  /** Why DEL is not tried again, without a namespace. */
  noSecondDel?: string;
  /** The interface, eth0 if nothing else. */
  ifName?: string;
}

const bridge = (world: World) => ({ type: 'bridge', bridge: 'tp0', isGateway: true, ipam: hostLocal(world) });
const parent = () => {
  run('ip', 'link', 'add', 'parent0', 'type', 'veth', 'peer', 'name', 'parent1');
  run('ip', 'link', 'set', 'parent0', 'up');
};

const chains: Chain[] = [
  { name: 'loopback', plugins: () => [{ type: 'loopback' }], ifName: 'lo' },
  { name: 'bridge, host-local', plugins: (world) => [bridge(world)] },
  {
    name: 'bridge, static',
    plugins: () => [
      {
        type: 'bridge',
        bridge: 'tp0',
        ipam: { type: 'static', addresses: [{ address: '10.99.0.9/24', gateway: '10.99.0.1' }] },
      },
    ],
  },
  {
    name: 'bridge, portmap, bandwidth, firewall, tuning',
    plugins: (world) => [
      bridge(world),
      { type: 'portmap', capabilities: { portMappings: true } },
      {
        type: 'bandwidth',
        ingressRate: 8_000_000,
        ingressBurst: 800_000,
        egressRate: 4_000_000,
        egressBurst: 400_000,
      },
      { type: 'firewall' },
      { type: 'tuning', mtu: 1400 },
    ],
    capabilityArgs: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] },
    noCheck: 'the portmap of Debian 12 cannot check ports of a pod without IPv6',
  },
  {
    name: 'ptp, sbr',
    plugins: (world) => [{ type: 'ptp', ipam: hostLocal(world) }, { type: 'sbr' }],
    noCheck: "sbr moves the routes to a table of its own, where ptp's CHECK does not look",
    noSecondDel: 'the sbr of Debian 12 cannot do without the namespace',
  },
  {
    name: 'macvlan',
    plugins: (world) => [{ type: 'macvlan', master: 'parent0', ipam: hostLocal(world) }],
    prepare: parent,
    kind: 'macvlan',
  },
  {
    name: 'ipvlan',
    plugins: (world) => [{ type: 'ipvlan', master: 'parent0', ipam: hostLocal(world) }],
    prepare: parent,
    kind: 'ipvlan',
  },
  {
    name: 'vlan',
    plugins: (world) => [{ type: 'vlan', master: 'parent0', vlanId: 5, ipam: hostLocal(world) }],
    prepare: parent,
    kind: 'vlan',
  },
  {
    name: 'bridge, vrf',
    plugins: (world) => [bridge(world), { type: 'vrf', vrfname: 'blue' }],
    kind: 'vrf',
  },
  {
    name: 'host-device',
    plugins: (world) => [{ type: 'host-device', device: 'parent1', ipam: hostLocal(world) }],
    prepare: parent,
  },
];

/** What `ip link add` needs to know of each kind, before and after the name. */
const kindOptions: Record<string, [before: string[], after: string[]]> = {
  macvlan: [['link', 'parent0'], []],
  ipvlan: [['link', 'parent0'], []],
  vlan: [
    ['link', 'parent0'],
    ['id', '5'],
  ],
  vrf: [[], ['table', '5']],
};

/** Why a chain cannot be tried; false when it can. */
function lacks(kind: string | undefined): string | false {
  if (kind === undefined) return false;
  const [before, after] = kindOptions[kind]!;
  parent();
  try {
    run('ip', 'link', 'add', ...before, 'name', 'probe0', 'type', kind, ...after);
    run('ip', 'link', 'del', 'probe0');
    return false;
  } catch (error) {
    if (!/Unknown device type|not supported/.test((error as Error).message)) throw error;
    return `this kernel has no ${kind} links`;
  } finally {
    run('ip', 'link', 'del', 'parent0');
  }
}

describe("our library with the reference's executables", () => {
  for (const chain of chains) {
    test(`ADD, CHECK, DEL of ${chain.name}`, { skip: lacks(chain.kind) }, async () => {
      using world = new World();
      const netns = world.netns('pod');
      chain.prepare?.();
      const warnings: string[] = [];
      const cni = createCni({
        pluginDirs: ['/usr/lib/cni'],
        cacheDir: world.makeDir('cache'),
        onWarning: (message) => warnings.push(message),
      });
      const list = parseNetworkConfigList(
        JSON.stringify({ cniVersion: '1.0.0', name: 'tp', plugins: chain.plugins(world) }),
      );
      const ifName = chain.ifName ?? 'eth0';
      const { capabilityArgs = {} } = chain;
      const attachment: Attachment = { containerID: 'c1', netns, ifName, capabilityArgs };
      await cni.validateList(list);
      const result = await cni.addList(list, attachment);
      assert.ok(result.ips!.length > 0);
      if (ifName !== 'lo') assert.deepEqual(addresses(ifName, netns), [result.ips![0]!.address]);
      assert.deepEqual(cni.cachedResult('tp', attachment), result);
      if (chain.noCheck === undefined) await cni.checkList(list, { containerID: 'c1', netns, ifName });
      await cni.delList(list, { containerID: 'c1', netns, ifName });
      if (chain.noSecondDel === undefined) await cni.delList(list, { containerID: 'c1', netns: '', ifName });
      assert.deepEqual(
        links(netns)
          .map(({ ifname }) => ifname)
          .filter((name) => name !== 'lo'),
        [],
      );
      assert.deepEqual([cni.cachedAttachments(), world.reservations('tp'), warnings], [[], [], []]);
    });
  }

  test('dhcp without its daemon: the error names the plugin, and bridge is undone', async () => {
    using world = new World();
    const netns = world.netns('pod');
    const cni = createCni({ pluginDirs: ['/usr/lib/cni'], cacheDir: world.makeDir('cache') });
    const list = parseNetworkConfigList(
      JSON.stringify({
        cniVersion: '1.0.0',
        name: 'tp',
        plugins: [{ type: 'bridge', bridge: 'tp0', ipam: { type: 'dhcp' } }],
      }),
    );
    const error = await failureOf(cni.addList(list, { containerID: 'c1', netns, ifName: 'eth0' }));
    assert.match(error.message, /^plugin type="bridge" failed \(add\): error dialing DHCP daemon: /);
    assert.deepEqual(
      links(netns).map(({ ifname }) => ifname),
      ['lo'],
    );
  });

  test('every executable of the reference is in one of these tests', () => {
    using world = new World();
    const tested = new Set(
      chains.flatMap(({ plugins }) =>
        plugins(world).flatMap(({ type, ipam }) => [type, (ipam as { type?: string } | undefined)?.type]),
      ),
    );
    assert.deepEqual(
      readdirSync('/usr/lib/cni').filter((type) => !tested.has(type)),
      ['dhcp'],
    );
  });
});

describe("a plugin of somebody else's", () => {
  test('in a list of ours: environment, configuration, results and errors', async () => {
    using world = new World();
    const bin = world.makeDir('bin');
    const noop = new NoopPlugin(bin);
    const cni = createCni({ pluginDirs: [bin], cacheDir: world.makeDir('cache') });
    const ips = [{ address: '10.1.2.3/24' }];
    const listWith = (debug: object) =>
      parseNetworkConfigList(
        JSON.stringify({
          cniVersion: '1.1.0',
          name: 'tp',
          plugins: [
            { type: 'noop', debug: { ADD: { ips } } },
            { type: 'noop', debug },
          ],
        }),
      );
    const attachment: Attachment = {
      containerID: 'c1',
      netns: '/run/netns/x',
      ifName: 'eth0',
      args: [['K8S_POD_NAME', 'web-0']],
    };
    assert.deepEqual(await cni.addList(listWith({}), attachment), { ips });
    await cni.checkList(listWith({}), attachment);
    const error = await failureOf(cni.checkList(listWith({ CHECK: { code: 101, msg: 'bad' } }), attachment));
    assert.deepEqual([error.number, error.message], [101, 'plugin type="noop" failed (check): bad']);
    await cni.status(listWith({}));
    await cni.gc(listWith({}), { validAttachments: [] });
    const calls = noop.calls();
    assert.deepEqual(
      calls.map(({ command }) => command),
      ['ADD', 'ADD', 'CHECK', 'CHECK', 'CHECK', 'CHECK', 'STATUS', 'STATUS', 'DEL', 'DEL', 'GC', 'GC'],
    );
    assert.deepEqual(calls[0]!.env, {
      CNI_COMMAND: 'ADD',
      CNI_CONTAINERID: 'c1',
      CNI_NETNS: '/run/netns/x',
      CNI_IFNAME: 'eth0',
      CNI_ARGS: 'K8S_POD_NAME=web-0',
      CNI_PATH: bin,
    });
  });

  for (const subject of subjects) {
    test(`as IPAM plugin of bridge, ${subject.name}`, async () => {
      using world = new World();
      const netns = world.netns('pod');
      const bin = world.makeDir('bin');
      const noop = new NoopPlugin(bin);
      const { cniVersion } = subject;
      const ipam = { type: 'noop', debug: { ADD: { cniVersion, ips: [{ address: '10.99.0.5/24' }] } } };
      const config = { type: 'bridge', bridge: 'tp0', ipam, note: 1.5 };
      const pluginDirs = [...subject.pluginDirs, bin];
      const widened = { ...subject, invoker: createInvoker({ ...subject, pluginDirs, ownGroup: true }) };
      const result = await call(widened, 'ADD', config, { netns, args: 'IgnoreUnknown=1' });
      assert.deepEqual(addresses('eth0', netns), ['10.99.0.5/24']);
      await call(widened, 'CHECK', config, { netns, prevResult: result });
      await call(widened, 'DEL', config, { netns });
      const calls = noop.calls();
      assert.deepEqual(
        calls.map(({ command }) => command),
        ['ADD', 'CHECK', 'DEL'],
      );
      for (const { env, stdin } of calls) {
        assert.deepEqual([env.CNI_CONTAINERID, env.CNI_NETNS, env.CNI_IFNAME], ['c1', netns, 'eth0']);
        const got = JSON.parse(stdin) as Record<string, unknown>;
        assert.deepEqual([got.name, got.cniVersion, got.ipam, got.note], ['testnet', cniVersion, ipam, 1.5]);
      }
      const busy = { ...config, ipam: { type: 'noop', debug: { ADD: { code: 11, msg: 'busy' } } } };
      const error: CniError = await failureOf(call(widened, 'ADD', busy, { netns }));
      assert.deepEqual([error.number, error.msg], [11, 'busy']);
      if (subject.isOurs)
        assert.equal(noop.calls().at(-1)!.command, 'DEL', 'what IPAM may have kept is released');
    });
  }
});
