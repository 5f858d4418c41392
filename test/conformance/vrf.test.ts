import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { NetConf, Result } from '@amphipod/cni';
import { lacksLinkKind } from './lib/requirements.ts';
import { type Subject, subjects } from './lib/subjects.ts';
import { addresses, call, failureOf, inPod, ipInPod, link, run, World } from './lib/world.ts';

const vrf = { type: 'vrf', vrfname: 'blue' } satisfies Partial<NetConf>;
const skip = lacksLinkKind('vrf');

/** The routing table of a VRF; undefined when there is none of that name. */
function tableOf(netns: string, name: string): number | undefined {
  const found = link(name, netns) as { linkinfo?: { info_data?: { table?: number } } } | undefined;
  return found?.linkinfo?.info_data?.table;
}

/** Routes of a table, without link-local and local ones. */
function routes(netns: string, table: number | string): string[] {
  const show = (family: string) =>
    inPod(netns, 'sh', '-c', `ip ${family} route show table ${table} 2>/dev/null || true`);
  return `${show('-4')}\n${show('-6')}`
    .split('\n')
    .map((line) => line.replaceAll(/ (linkdown|pref medium|metric 1024|proto kernel)/g, '').trim())
    .filter((line) => line !== '' && !/^(fe80|multicast|ff00|local|broadcast|anycast)/.test(line))
    .sort();
}

interface Pod {
  netns: string;
  ifName: string;
  prevResult: Result;
}

/** A pod's interface with addresses of both families and a route through a gateway. */
function pod(world: World, lines: string[] = []): Pod {
  const netns = world.netns('pod');
  for (const name of ['a', 'b']) {
    run('ip', ...`link add host-${name} type veth peer name net${name} netns`.split(' '), netns);
    run('ip', 'link', 'set', `host-${name}`, 'up');
  }
  ipInPod(
    netns,
    'link set neta up',
    'link set netb up',
    'address add 10.99.0.2/24 dev neta',
    'address add fd00:99::2/64 dev neta nodad',
    'route add 10.7.0.0/16 via 10.99.0.1',
    'route add fd00:7::/48 via fd00:99::1',
    ...lines,
  );
  const interfaces = [{ name: 'neta', mac: link('neta', netns)!.address, sandbox: netns }];
  const ips = [
    { address: '10.99.0.2/24', interface: 0 },
    { address: 'fd00:99::2/64', interface: 0 },
  ];
  return { netns, ifName: 'neta', prevResult: { interfaces, ips } };
}

const podRoutes = [
  '10.7.0.0/16 via 10.99.0.1 dev neta',
  '10.99.0.0/24 dev neta scope link src 10.99.0.2',
  'fd00:7::/48 via fd00:99::1 dev neta',
  'fd00:99::/64 dev neta metric 256',
];

for (const subject of subjects) {
  describe(`vrf, ${subject.name}`, { skip }, () => {
    test('the interface joins a new VRF, which goes when it is empty', async () => {
      using world = new World();
      const attachment = pod(world);
      const { netns, prevResult } = attachment;
      assert.deepEqual(routes(netns, 'main'), podRoutes);
      assert.deepEqual(await call(subject, 'ADD', vrf, attachment), prevResult);
      assert.equal(tableOf(netns, 'blue'), 1);
      assert.ok(link('blue', netns)!.flags.includes('UP'));
      assert.equal(link('neta', netns)!.master, 'blue');
      assert.deepEqual(addresses('neta', netns), ['10.99.0.2/24', 'fd00:99::2/64']);
      if (subject.isOurs) assert.deepEqual(routes(netns, 1), podRoutes);
      assert.deepEqual(routes(netns, 'main'), []);
      await call(subject, 'CHECK', vrf, attachment);
      await call(subject, 'DEL', vrf, attachment);
      assert.equal(link('blue', netns), undefined);
      assert.equal(link('neta', netns)!.master, undefined);
      await call(subject, 'DEL', vrf, attachment);
    });

    test('a table of the configuration; two interfaces in one VRF', async () => {
      using world = new World();
      const attachment = pod(world);
      const { netns } = attachment;
      const config = { ...vrf, table: 1001 };
      const second = { ...attachment, ifName: 'netb' };
      await call(subject, 'ADD', config, attachment);
      await call(subject, 'ADD', config, second);
      assert.equal(tableOf(netns, 'blue'), 1001);
      const other = await failureOf(call(subject, 'ADD', { ...vrf, table: 1002 }, second));
      assert.match(other.message, /VRF blue already exist with different routing table 1001/);
      await call(subject, 'DEL', config, attachment);
      assert.equal(tableOf(netns, 'blue'), 1001);
      assert.equal(link('netb', netns)!.master, 'blue');
      // In 1.1.1 the reference's CHECK forgets what it found.
      if (subject.isOurs) {
        const gone = await failureOf(call(subject, 'CHECK', config, attachment));
        assert.match(gone.message, /failed to find neta associated to vrf blue/);
      }
      await call(subject, 'DEL', config, second);
      assert.equal(link('blue', netns), undefined);
    });

    test('two VRFs have two tables', async () => {
      using world = new World();
      const attachment = pod(world);
      await call(subject, 'ADD', vrf, attachment);
      await call(subject, 'ADD', { ...vrf, vrfname: 'red' }, { ...attachment, ifName: 'netb' });
      assert.deepEqual([tableOf(attachment.netns, 'blue'), tableOf(attachment.netns, 'red')], [1, 2]);
    });

    test('what cannot be is refused', async () => {
      using world = new World();
      const attachment = pod(world, ['link add taken type veth peer name taken2']);
      const refusal = async (config: object, more: object = {}) =>
        (await failureOf(call(subject, 'ADD', { ...vrf, ...config }, { ...attachment, ...more }))).message;
      assert.match(await refusal({ vrfname: '' }), /configuration is expected to have a valid vrf name/);
      assert.match(await refusal({}, { prevResult: undefined }), /missing prevResult from earlier plugin/);
      assert.match(await refusal({ vrfname: 'taken' }), /Netlink taken is not a VRF/);
      assert.match(await refusal({}, { ifName: 'nothere' }), /could not get link by name nothere/);
      ipInPod(attachment.netns, 'link add green type vrf table 77', 'link set netb master green');
      assert.match(await refusal({}, { ifName: 'netb' }), /interface netb has already a master set: green/);
    });

    test('DEL without VRF and namespace', async () => {
      using world = new World();
      const attachment = pod(world);
      await call(subject, 'DEL', vrf, attachment);
      await call(subject, 'DEL', vrf, { ...attachment, netns: '/nonexistent', prevResult: undefined });
    });

    if (subject.isOurs) describeOurs(subject);
  });
}

function describeOurs(subject: Subject): void {
  test('a failed ADD leaves no VRF', async () => {
    using world = new World();
    const attachment = pod(world, ['link add green type vrf table 77', 'link set netb master green']);
    await failureOf(call(subject, 'ADD', vrf, { ...attachment, ifName: 'netb' }));
    assert.equal(link('blue', attachment.netns), undefined);
  });

  test('direct routes that were set by hand are kept, and IPv6 addresses that outlive a link that goes down', async () => {
    using world = new World();
    const attachment = pod(world, ['route add 10.8.0.0/16 dev neta', 'route add 10.9.0.0/16 via 10.8.0.1']);
    const { netns } = attachment;
    inPod(netns, 'sysctl', '-w', 'net.ipv6.conf.neta.keep_addr_on_down=1');
    const before = routes(netns, 'main');
    await call(subject, 'ADD', vrf, attachment);
    assert.deepEqual(routes(netns, 1), before);
    assert.deepEqual(addresses('neta', netns), ['10.99.0.2/24', 'fd00:99::2/64']);
  });

  test('a table that routes or rules are in is not free', async () => {
    using world = new World();
    const attachment = pod(world, [
      'route add default via 10.99.0.1 table 1',
      'rule add from 10.1.1.1 table 2',
    ]);
    await call(subject, 'ADD', vrf, attachment);
    assert.equal(tableOf(attachment.netns, 'blue'), 3);
  });

  test('a VRF that was there before stays', async () => {
    using world = new World();
    const attachment = pod(world, ['link add blue type vrf table 9', 'link set blue up']);
    await call(subject, 'ADD', vrf, attachment);
    assert.equal(link('neta', attachment.netns)!.master, 'blue');
    await call(subject, 'DEL', vrf, attachment);
    assert.equal(tableOf(attachment.netns, 'blue'), 9);
  });

  test("a late DEL leaves a new pod's interface in its VRF", async () => {
    using world = new World();
    const attachment = pod(world);
    await call(subject, 'ADD', vrf, { ...attachment, containerID: 'c2' });
    run('ip', 'link', 'set', 'host-a', 'alias', 'cni testnet c2/neta');
    await call(subject, 'DEL', vrf, attachment);
    assert.equal(link('neta', attachment.netns)!.master, 'blue');
  });

  test('DEL when the interface or the VRF is gone, or the configuration is wrong', async () => {
    using world = new World();
    const attachment = pod(world);
    await call(subject, 'ADD', vrf, attachment);
    run('ip', 'link', 'del', 'host-a');
    await call(subject, 'DEL', { ...vrf, table: 'x' }, attachment);
    await call(subject, 'DEL', vrf, attachment);
    assert.equal(link('blue', attachment.netns), undefined);
  });

  test('CHECK fails for a VRF that is down, gone, or of another table; STATUS knows the kind', async () => {
    using world = new World();
    const attachment = pod(world);
    const { netns } = attachment;
    await call(subject, 'STATUS', vrf);
    await call(subject, 'ADD', vrf, attachment);
    const failure = async (config = {}) =>
      (await failureOf(call(subject, 'CHECK', { ...vrf, ...config }, attachment))).message;
    assert.match(await failure({ table: 7 }), /VRF blue has routing table 1, want 7/);
    ipInPod(netns, 'link set blue down');
    assert.match(await failure(), /VRF blue is down/);
    ipInPod(netns, 'link del blue');
    assert.match(await failure(), /vrf blue not found/);
  });
}

const lacking = skip === false && 'this kernel has VRFs';
for (const subject of subjects.filter(({ isOurs }) => isOurs)) {
  test(`vrf, ${subject.name}: STATUS and ADD on a kernel without VRFs`, { skip: lacking }, async () => {
    using world = new World();
    const attachment = pod(world);
    const status = await failureOf(call(subject, 'STATUS', vrf));
    assert.equal(status.number, 50);
    assert.match(status.message, /this kernel has no VRFs/);
    const add = await failureOf(call(subject, 'ADD', vrf, attachment));
    assert.match(add.message, /could not add VRF blue/);
    assert.deepEqual(routes(attachment.netns, 'main'), podRoutes);
  });
}
