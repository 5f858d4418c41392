import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { hostLocal } from './lib/configs.ts';
import { linkPluginCases } from './lib/link-plugin-cases.ts';
import { lacksDefaultRoute, lacksLinkKind } from './lib/requirements.ts';
import { type Subject, subjects } from './lib/subjects.ts';
import { makeMaster } from './lib/veth-device.ts';
import { addresses, call, failureOf, inPod, link, links, run, World } from './lib/world.ts';

const skip = lacksLinkKind('macvlan');

function details(netns: string, name = 'eth0'): { mode: string; bclim?: number; flags?: string } {
  const [found] = JSON.parse(inPod(netns, 'ip', '-j', '-d', 'link', 'show', name)) as {
    linkinfo: { info_data: { mode: string } };
  }[];
  return found!.linkinfo.info_data;
}

for (const subject of subjects) {
  describe(`macvlan, ${subject.name}`, { skip }, () => {
    linkPluginCases(subject, {
      type: 'macvlan',
      kind: 'macvlan',
      keys: { master: 'm0' },
      master: 'm0',
      referenceLeaks: true,
    });
    layer2(subject);
    parentErrors(subject);
    if (subject.isOurs) newerKeys(subject);
  });
}

function layer2(subject: Subject): void {
  for (const mode of ['', 'bridge', 'private', 'vepa', 'passthru']) {
    test(`layer 2, mode "${mode}"`, async () => {
      using world = new World();
      makeMaster('m0');
      const netns = world.netns('a');
      const config = { type: 'macvlan', master: 'm0', mode };
      const result = await call(subject, 'ADD', config, { netns });
      assert.deepEqual(result.ips ?? [], []);
      assert.ok(link('eth0', netns)!.flags.includes('UP'));
      assert.deepEqual(addresses('eth0', netns), []);
      assert.equal(details(netns).mode, mode || 'bridge');
      await call(subject, 'CHECK', config, { netns, prevResult: result });
      const other = { ...config, mode: mode === 'private' ? 'vepa' : 'private' };
      const error = await failureOf(call(subject, 'CHECK', other, { netns, prevResult: result }));
      assert.match(error.message, /macvlan mode \S+ does not match expected value/);
      await call(subject, 'DEL', config, { netns, prevResult: result });
      assert.equal(link('eth0', netns), undefined);
    });
  }

  test('two pods of one parent reach one another', async () => {
    using world = new World();
    makeMaster('m0');
    const [a, b] = [world.netns('a'), world.netns('b')];
    const config = { type: 'macvlan', master: 'm0', ipam: hostLocal(world) };
    await call(subject, 'ADD', config, { containerID: 'a', netns: a });
    const result = await call(subject, 'ADD', config, { containerID: 'b', netns: b });
    const target = result.ips![0]!.address.split('/')[0]!;
    inPod(a, 'busybox', 'ping', '-c', '1', '-w', '3', target);
  });

  test("mac: the key, then CNI_ARGS, then runtimeConfig; mtu below the parent's", async () => {
    using world = new World();
    makeMaster('m0');
    const netns = world.netns('a');
    const [key, args, runtime] = ['c2:00:00:00:00:01', 'c2:00:00:00:00:02', 'c2:00:00:00:00:03'];
    const config = { type: 'macvlan', master: 'm0', mac: key, mtu: 1400 };
    const add = async (more: object, call_: object, ifName: string) => {
      const result = await call(subject, 'ADD', { ...config, ...more }, { netns, ifName, ...call_ });
      assert.equal(result.interfaces![0]!.mac, link(ifName, netns)!.address);
      return result.interfaces![0]!.mac;
    };
    assert.equal(await add({}, {}, 'eth0'), key);
    assert.equal(link('eth0', netns)!.mtu, 1400);
    assert.equal(await add({}, { args: `IgnoreUnknown=1;MAC=${args}` }, 'eth1'), args);
    const both = { args: `IgnoreUnknown=1;MAC=${args}` };
    assert.equal(await add({ runtimeConfig: { mac: runtime } }, both, 'eth2'), runtime);
  });

  for (const family of ['-4', '-6']) {
    test(`without master: the interface of the default route, ip ${family} (NET-07)`, {
      skip: lacksDefaultRoute(subject),
    }, async () => {
      using world = new World();
      makeMaster('m0');
      makeMaster('m1');
      const [address, gateway] =
        family === '-4' ? ['192.0.2.2/24', '192.0.2.1'] : ['2001:db8::2/64', '2001:db8::1'];
      run('ip', 'address', 'add', address, 'dev', 'm1', ...(family === '-6' ? ['nodad'] : []));
      run('ip', family, 'route', 'add', 'default', 'via', gateway);
      const netns = world.netns('a');
      for (const [i, master] of [{}, { master: '' }].entries()) {
        const ifName = `eth${i}`;
        const prevResult = await call(subject, 'ADD', { type: 'macvlan', ...master }, { netns, ifName });
        const text = inPod(netns, 'ip', 'link', 'show', ifName);
        const index = /^(\d+):/.exec(run('ip', '-o', 'link', 'show', 'm1'))![1]!;
        assert.ok(text.includes(`${ifName}@if${index}:`), text);
        await call(subject, 'CHECK', { type: 'macvlan', ...master }, { netns, ifName, prevResult });
      }
    });
  }
}

function parentErrors(subject: Subject): void {
  const fail = async (world: World, more: object, prepare: () => void = () => {}) => {
    makeMaster('m0');
    prepare();
    const netns = world.netns('a');
    const config = { type: 'macvlan', master: 'm0', ipam: hostLocal(world), ...more };
    const error = await failureOf(call(subject, 'ADD', config, { netns }));
    // The reference leaves the link and, for a parent that is down, the address.
    if (subject.isOurs) {
      assert.deepEqual(
        links(netns).map(({ ifname }) => ifname),
        ['lo'],
      );
      assert.deepEqual(world.reservations('testnet'), []);
    }
    return error.message;
  };

  test("an MTU above the parent's: the error has both (NET-07)", async () => {
    using world = new World();
    assert.match(await fail(world, { mtu: 9000 }), /invalid MTU 9000, must be \[0, master MTU\(1500\)\]/);
  });
  test('a negative MTU', async () => {
    using world = new World();
    assert.match(await fail(world, { mtu: -1 }), /invalid MTU -1, must be \[0, master MTU\(1500\)\]/);
  });
  test('an unknown mode (NET-07)', async () => {
    using world = new World();
    assert.match(await fail(world, { mode: 'nonsense' }), /unknown macvlan mode: "nonsense"/);
  });
  test('a parent that is not there is named (NET-07)', async () => {
    using world = new World();
    const message = await fail(world, { master: 'nosuch' });
    assert.match(message, /Link not found/);
    if (subject.isOurs) assert.match(message, /failed to lookup master "nosuch"/);
  });
  test('no default route (NET-07)', async () => {
    using world = new World();
    assert.match(await fail(world, { master: undefined }), /no default route interface found/);
  });
  test('a parent that is down: the link goes up with it (NET-07)', async () => {
    using world = new World();
    makeMaster('m0');
    run('ip', 'link', 'set', 'm0', 'down');
    const netns = world.netns('a');
    const prevResult = await call(
      subject,
      'ADD',
      { type: 'macvlan', master: 'm0', ipam: hostLocal(world) },
      { netns },
    );
    const state = () => link('eth0', netns)!.operstate;
    assert.notEqual(state(), 'UP');
    run('ip', 'link', 'set', 'm0', 'up');
    // The kernel passes a carrier on within a second.
    for (let waitedMs = 0; state() !== 'UP' && waitedMs < 5000; waitedMs += 50) await sleep(50);
    assert.equal(state(), 'UP');
    await call(
      subject,
      'CHECK',
      { type: 'macvlan', master: 'm0', ipam: hostLocal(world) },
      { netns, prevResult },
    );
  });
  test('a parent that is a port of a bridge (NET-07)', async () => {
    using world = new World();
    const message = await fail(world, {}, () => {
      run('ip', 'link', 'add', 'br9', 'type', 'bridge');
      run('ip', 'link', 'set', 'm0', 'master', 'br9');
    });
    assert.match(message, subject.isOurs ? /master "m0" is a port of a bridge/ : /busy/);
  });
  test('a hardware address given twice (NET-07)', async () => {
    using world = new World();
    const mac = 'c2:00:00:00:00:01';
    makeMaster('m1');
    await call(
      subject,
      'ADD',
      { type: 'macvlan', master: 'm1', mac },
      { containerID: 'b', netns: world.netns('b') },
    );
    const message = await fail(world, { master: 'm1', mac });
    assert.match(
      message,
      subject.isOurs ? /master "m1" has an interface of this hardware address/ : /in use/,
    );
  });
  for (const [first, second] of [
    ['passthru', 'bridge'],
    ['bridge', 'passthru'],
  ] as const) {
    test(`mode ${second} beside ${first} (NET-07)`, async () => {
      using world = new World();
      makeMaster('m1');
      const config = { type: 'macvlan', master: 'm1', mode: first };
      await call(subject, 'ADD', config, { containerID: 'b', netns: world.netns('b') });
      const message = await fail(world, { master: 'm1', mode: second });
      assert.match(
        message,
        subject.isOurs ? /master "m1" has other macvlans, and mode "passthru"/ : /invalid argument/,
      );
    });
  }
  test('what is no hardware address', async () => {
    using world = new World();
    assert.match(await fail(world, { mac: 'c2:00' }), /mac|MAC|address/);
  });
}

/** Keys that Debian's reference is too old for. */
function newerKeys(subject: Subject): void {
  test('linkInContainer: the parent is in the pod, by name and by default route', async () => {
    using world = new World();
    const netns = world.netns('a');
    inPod(netns, 'ip', 'link', 'add', 'm0', 'type', 'veth', 'peer', 'name', 'm0p');
    for (const end of ['m0', 'm0p']) inPod(netns, 'ip', 'link', 'set', end, 'up');
    const named = { type: 'macvlan', master: 'm0', linkInContainer: true, ipam: hostLocal(world) };
    const result = await call(subject, 'ADD', named, { netns });
    assert.match(inPod(netns, 'ip', 'link', 'show', 'eth0'), /eth0@m0:/);
    await call(subject, 'CHECK', named, { netns, prevResult: result });
    const { master: _, ...byRoute } = named;
    // The default route leads through eth0 now, itself a macvlan: the new one sits on the same parent.
    const second = await call(subject, 'ADD', byRoute, { netns, containerID: 'c2', ifName: 'eth1' });
    assert.match(inPod(netns, 'ip', 'link', 'show', 'eth1'), /eth1@m0:/);
    await call(
      subject,
      'CHECK',
      { ...byRoute, master: 'eth0' },
      { netns, containerID: 'c2', ifName: 'eth1', prevResult: second },
    );
    const missing = await failureOf(
      call(subject, 'ADD', { ...named, master: 'nosuch' }, { netns, ifName: 'eth2' }),
    );
    assert.match(missing.message, /failed to lookup master "nosuch": Link not found on the container/);
    await call(subject, 'STATUS', named);
  });

  test('a late DEL leaves the interface that another plugin made for the new owner', async () => {
    using world = new World();
    makeMaster('m0');
    const netns = world.netns('a');
    const plugins = [
      { type: 'macvlan', master: 'm0' },
      { type: 'bridge', bridge: 'tb0' },
    ];
    for (const [mine, theirs] of [plugins, plugins.toReversed()]) {
      await call(subject, 'ADD', theirs!, { containerID: 'new', netns });
      await call(subject, 'DEL', mine!, { containerID: 'old', netns });
      assert.ok(link('eth0', netns) !== undefined, `DEL of ${mine!.type} removed that of ${theirs!.type}`);
      await call(subject, 'DEL', theirs!, { containerID: 'new', netns });
    }
  });

  test('bcqueuelen', async () => {
    using world = new World();
    makeMaster('m0');
    const netns = world.netns('a');
    const add = (bcqueuelen: number, ifName: string) =>
      call(subject, 'ADD', { type: 'macvlan', master: 'm0', bcqueuelen }, { netns, ifName });
    await add(0, 'eth0');
    await add(3000, 'eth1');
    const lengths = ['eth0', 'eth1'].map(
      (name) => /bcqueuelen (\d+)/.exec(inPod(netns, 'ip', '-d', 'link', 'show', name))![1],
    );
    assert.deepEqual(lengths, ['1000', '3000']);
  });

  test('neighbours are told of addresses: arp_notify, and ndisc_notify with an IPv6 address', async () => {
    using world = new World();
    makeMaster('m0');
    const netns = world.netns('a');
    const read = (key: string) => inPod(netns, 'sysctl', '-n', key).trim();
    await call(subject, 'ADD', { type: 'macvlan', master: 'm0', ipam: hostLocal(world) }, { netns });
    assert.deepEqual(
      [read('net.ipv4.conf.eth0.arp_notify'), read('net.ipv6.conf.eth0.ndisc_notify')],
      ['1', '0'],
    );
    const ipam = hostLocal(world, { subnet: 'fd00:99::/64', routes: [] });
    await call(
      subject,
      'ADD',
      { type: 'macvlan', name: 'six', master: 'm0', ipam },
      { netns, ifName: 'eth1' },
    );
    assert.equal(read('net.ipv6.conf.eth1.ndisc_notify'), '1');
  });

  test('CHECK names a parent that is not the one of the configuration', async () => {
    using world = new World();
    makeMaster('m0');
    makeMaster('m1');
    const netns = world.netns('a');
    const prevResult = await call(subject, 'ADD', { type: 'macvlan', master: 'm0' }, { netns });
    const check = (master: string) =>
      call(subject, 'CHECK', { type: 'macvlan', master }, { netns, prevResult });
    await check('m0');
    assert.match((await failureOf(check('m1'))).message, /eth0 does not have master m1/);
    const error = await failureOf(check('nosuch'));
    assert.match(error.message, /failed to lookup master "nosuch"/);
    assert.equal(error.number, 100);
    inPod(netns, 'ip', 'link', 'set', 'eth0', 'down');
    assert.match((await failureOf(check('m0'))).message, /Interface eth0 is down/);
  });

  test('STATUS: 50 when the parent is missing', async () => {
    using world = new World();
    makeMaster('m0');
    await call(subject, 'STATUS', { type: 'macvlan', master: 'm0' });
    const error = await failureOf(call(subject, 'STATUS', { type: 'macvlan', master: world.dir.slice(-8) }));
    assert.equal(error.number, 50);
    assert.match(error.message, /Link not found/);
    const route = await failureOf(call(subject, 'STATUS', { type: 'macvlan' }));
    assert.deepEqual([route.number, route.msg], [50, 'no default route interface found']);
  });
}
