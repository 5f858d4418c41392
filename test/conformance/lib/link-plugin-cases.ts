import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Result } from '@amphipod/cni';
import { unpinNamespace } from '@amphipod/linux';
import { hostLocal } from './configs.ts';
import type { Subject } from './subjects.ts';
import { makeMaster } from './veth-device.ts';
import {
  addresses,
  type Config,
  call,
  failureOf,
  inPod,
  link,
  podLinks,
  routes,
  run,
  World,
} from './world.ts';

/** A plugin that gives a pod one link, as the cases that all of them share need it. */
export interface LinkPlugin {
  type: string;
  /** As `ip -d link` has it. */
  kind: string;
  /** Keys beside `type` and `ipam`. */
  keys: object;
  /** A link of the host that the pod's one sits on; made before each case. */
  master?: string;
  /** The reference of this version leaves the link in the pod when IPAM fails. */
  referenceLeaks: boolean;
  /** The reference keeps the address when the interface cannot be configured. */
  referenceLeaksAddress?: boolean;
  /** Cases that the reference fails, by name, with the reason: differences that the page of the plugin has. */
  referenceFails?: Readonly<Partial<Record<ReferenceFailure, string>>>;
}

type ReferenceFailure = 'IPv6' | 'name in the pod';

/** What holds for every plugin of this sort. */
export function linkPluginCases(subject: Subject, plugin: LinkPlugin): void {
  const { type, kind, keys, master } = plugin;
  const referenceFails = (name: ReferenceFailure) => ({
    skip: !subject.isOurs && (plugin.referenceFails?.[name] ?? false),
  });
  const setUp = (world: World): { netns: string; config: Config } => {
    if (master !== undefined) makeMaster(master);
    return { netns: world.netns('a'), config: { type, ...keys, ipam: hostLocal(world) } };
  };

  test('ADD makes the link with address and route, CHECK agrees, DEL takes it away and may be repeated', async () => {
    using world = new World();
    const { netns, config } = setUp(world);
    const result = await call(subject, 'ADD', config, { netns });
    const made = link('eth0', netns)!;
    assert.deepEqual(result.interfaces, [{ name: 'eth0', mac: made.address, sandbox: netns }]);
    assert.deepEqual(result.ips, [{ address: '10.99.0.2/24', gateway: '10.99.0.1', interface: 0 }]);
    assert.deepEqual(result.routes, [{ dst: '0.0.0.0/0' }]);
    assert.equal(made.linkinfo!.info_kind, kind);
    assert.ok(made.flags.includes('UP'));
    assert.deepEqual(addresses('eth0', netns), ['10.99.0.2/24']);
    if (subject.isOurs) assert.equal(made.ifalias, 'cni testnet c1/eth0');
    await call(subject, 'CHECK', config, { netns, prevResult: result });
    await call(subject, 'DEL', config, { netns, prevResult: result });
    assert.deepEqual(podLinks(netns), []);
    assert.deepEqual(world.reservations('testnet'), []);
    await call(subject, 'DEL', config, { netns, prevResult: result });
    await call(subject, 'DEL', config, { netns });
  });

  test(
    'IPv6: the address is usable when ADD returns, the default route is there (NET-04)',
    referenceFails('IPv6'),
    async () => {
      using world = new World();
      const { netns, config } = setUp(world);
      const ipam = hostLocal(world, { subnet: 'fd00:99::/64', routes: [{ dst: '::/0' }] });
      await call(subject, 'ADD', { ...config, ipam }, { netns });
      assert.deepEqual(addresses('eth0', netns), ['fd00:99::2/64']);
      assert.doesNotMatch(
        inPod(netns, 'ip', '-6', 'address', 'show', 'scope', 'global'),
        /tentative|dadfailed/,
      );
      assert.ok(routes(netns).some(({ dst, gateway }) => dst === 'default' && gateway === 'fd00:99::1'));
    },
  );

  test('dns of the configuration goes into the result', async () => {
    using world = new World();
    const { netns, config } = setUp(world);
    const dns = { nameservers: ['192.0.2.53'], domain: 'a.test' };
    const result = await call(subject, 'ADD', { ...config, dns }, { netns });
    // The dummy plugin passes on what IPAM says, and no more.
    assert.deepEqual(result.dns, type === 'dummy' ? undefined : dns);
  });

  test(
    'an interface of that name in the pod: ADD fails and leaves it alone',
    referenceFails('name in the pod'),
    async () => {
      using world = new World();
      const { netns, config } = setUp(world);
      inPod(netns, 'ip', 'link', 'add', 'eth0', 'type', 'bridge');
      const error = await failureOf(call(subject, 'ADD', config, { netns }));
      assert.match(error.message, /exist/);
      assert.equal(link('eth0', netns)!.linkinfo!.info_kind, 'bridge');
      if (subject.isOurs) assert.deepEqual(podLinks(netns), ['eth0']);
      assert.deepEqual(world.reservations('testnet'), []);
    },
  );

  test("an interface of that name on the host is in nobody's way", async () => {
    using world = new World();
    const { netns, config } = setUp(world);
    run('ip', 'link', 'add', 'eth0', 'type', 'bridge');
    const result = await call(subject, 'ADD', config, { netns });
    assert.deepEqual(podLinks(netns), ['eth0']);
    assert.equal(link('eth0')!.linkinfo!.info_kind, 'bridge');
    await call(subject, 'DEL', config, { netns, prevResult: result });
    assert.ok(link('eth0'));
  });

  test('IPAM without addresses left: ADD fails and leaves nothing, the next one works (CNI-09)', async () => {
    using world = new World();
    const { netns, config } = setUp(world);
    const ipam = hostLocal(world, { rangeStart: '10.99.0.9', rangeEnd: '10.99.0.9' });
    const other = world.netns('b');
    await call(subject, 'ADD', { ...config, ipam }, { containerID: 'other', netns: other, ifName: 'net1' });
    // A second link of the same kind needs a second parent or VLAN, so the first goes while its address stays.
    inPod(other, 'ip', 'link', 'del', 'net1');
    const error = await failureOf(call(subject, 'ADD', { ...config, ipam }, { netns }));
    assert.match(error.message, /no IP addresses available/);
    assert.deepEqual(world.reservations('testnet'), ['10.99.0.9']);
    if (!subject.isOurs && plugin.referenceLeaks) return;
    assert.deepEqual(podLinks(netns), []);
    await call(subject, 'ADD', config, { netns });
    assert.deepEqual(addresses('eth0', netns).length, 1);
  });

  test('an unreachable gateway: ADD fails and leaves nothing, the next one works', async () => {
    using world = new World();
    const { netns, config } = setUp(world);
    const ipam = hostLocal(world, { routes: [{ dst: '0.0.0.0/0', gw: '192.0.2.1' }] });
    const error = await failureOf(call(subject, 'ADD', { ...config, ipam }, { netns }));
    assert.match(error.message, /route/);
    if (subject.isOurs || !plugin.referenceLeaksAddress) {
      assert.deepEqual(world.reservations('testnet'), []);
    }
    if (!subject.isOurs && plugin.referenceLeaks) return;
    assert.deepEqual(podLinks(netns), []);
    await call(subject, 'ADD', config, { netns });
  });

  const delCases: Record<string, { oursAlone?: boolean; before(netns: string): void; netns?: string }> = {
    'the link is gone (NET-08)': { before: (netns) => inPod(netns, 'ip', 'link', 'del', 'eth0') },
    'the namespace is gone (CNI-06)': { before: (netns) => unpinNamespace(netns) },
    'no namespace is given (CNI-06)': { before() {}, netns: '' },
    'the path is an ordinary file (CNI-06, CNI-18)': {
      oursAlone: true,
      before(netns) {
        unpinNamespace(netns);
        writeFileSync(netns, '');
      },
    },
    ...(master !== undefined && {
      // The reference of this version looks the parent up first.
      'the parent was deleted (NET-08)': {
        oursAlone: true,
        before: () => void run('ip', 'link', 'del', master),
      },
    }),
  };
  for (const [name, { oursAlone = false, before, netns: given }] of Object.entries(delCases)) {
    if (oursAlone && !subject.isOurs) continue;
    test(`DEL succeeds and frees the address when ${name}`, async () => {
      using world = new World();
      const { netns, config } = setUp(world);
      const prevResult = await call(subject, 'ADD', config, { netns });
      assert.deepEqual(world.reservations('testnet'), ['10.99.0.2']);
      before(netns);
      await call(subject, 'DEL', config, { netns: given ?? netns, prevResult });
      assert.deepEqual(world.reservations('testnet'), []);
      await call(subject, 'DEL', config, { netns: given ?? netns });
    });
  }

  if (subject.isOurs) {
    oursAlone(subject, setUp);
    checkCases(subject, setUp);
  }
}

type SetUp = (world: World) => { netns: string; config: Config };

function oursAlone(subject: Subject, setUp: SetUp): void {
  test('DEL without ipam, and of a container that was never added', async () => {
    using world = new World();
    const { netns, config } = setUp(world);
    await call(subject, 'DEL', config, { netns, containerID: 'never' });
    await call(subject, 'ADD', config, { netns });
    const { ipam: _, ...bare } = config;
    await call(subject, 'DEL', bare, { netns });
    assert.deepEqual(podLinks(netns), []);
  });

  test('a late DEL of an old container does not touch the new owner of the namespace', async () => {
    using world = new World();
    const { netns, config } = setUp(world);
    const old = await call(subject, 'ADD', config, { netns, containerID: 'old' });
    inPod(netns, 'ip', 'link', 'del', 'eth0');
    await call(subject, 'DEL', config, { netns: '', containerID: 'old' });
    const prevResult = await call(subject, 'ADD', config, { netns, containerID: 'new' });
    await call(subject, 'DEL', config, { netns, containerID: 'old', prevResult: old });
    await call(subject, 'CHECK', config, { netns, containerID: 'new', prevResult });
  });

  test('STATUS tells of a full pool, GC frees addresses of attachments that are not valid', async () => {
    using world = new World();
    const { netns, config } = setUp(world);
    await call(subject, 'STATUS', config);
    await call(subject, 'ADD', config, { netns });
    await call(subject, 'GC', config, { validAttachments: [{ containerID: 'c1', ifName: 'eth0' }] });
    assert.deepEqual(world.reservations('testnet'), ['10.99.0.2']);
    await call(subject, 'GC', config, { validAttachments: [] });
    assert.deepEqual(world.reservations('testnet'), []);
  });
}

function checkCases(subject: Subject, setUp: SetUp): void {
  const breaks: Record<string, { break(netns: string): void; message: RegExp }> = {
    'the link is gone': {
      break: (netns) => inPod(netns, 'ip', 'link', 'del', 'eth0'),
      message: /eth0 not found/,
    },
    'the link is another': {
      break(netns) {
        const { address } = link('eth0', netns)!;
        inPod(netns, 'ip', 'link', 'del', 'eth0');
        inPod(netns, 'ip', 'link', 'add', 'eth0', 'address', address, 'type', 'ifb');
        inPod(netns, 'ip', 'link', 'set', 'eth0', 'up');
        inPod(netns, 'ip', 'address', 'add', '10.99.0.2/24', 'dev', 'eth0');
        inPod(netns, 'ip', 'route', 'add', 'default', 'via', '10.99.0.1');
      },
      message: /not of type/,
    },
    'the address is gone': {
      break: (netns) => inPod(netns, 'ip', 'address', 'flush', 'dev', 'eth0'),
      message: /Failed to find address 10\.99\.0\.2\/24/,
    },
    'the route is gone': {
      break: (netns) => inPod(netns, 'ip', 'route', 'del', 'default'),
      message: /Expected Route 0\.0\.0\.0\/0/,
    },
    'the reservation is gone': { break() {}, message: /Failed to find address added by container/ },
  };
  for (const [name, { break: breakIt, message }] of Object.entries(breaks)) {
    test(`CHECK fails when ${name}`, async () => {
      using world = new World();
      const { netns, config } = setUp(world);
      const prevResult: Result = await call(subject, 'ADD', config, { netns });
      breakIt(netns);
      if (name.includes('reservation')) run('rm', join(world.dataDir, 'testnet', '10.99.0.2'));
      const error = await failureOf(call(subject, 'CHECK', config, { netns, prevResult }));
      assert.match(error.message, message);
    });
  }
}
