import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Result } from '@amphipod/cni';
import { hostLocal } from './lib/configs.ts';
import { linkPluginCases } from './lib/link-plugin-cases.ts';
import { lacksDefaultRoute, lacksLinkKind } from './lib/requirements.ts';
import { type Subject, subjects } from './lib/subjects.ts';
import { makeMaster } from './lib/veth-device.ts';
import { addresses, call, failureOf, inPod, link, links, run, World } from './lib/world.ts';

const skip = lacksLinkKind('ipvlan');

function modeOf(netns: string): string {
  const [found] = JSON.parse(inPod(netns, 'ip', '-j', '-d', 'link', 'show', 'eth0')) as {
    linkinfo: { info_data: { mode: string } };
  }[];
  return found!.linkinfo.info_data.mode;
}

for (const subject of subjects) {
  describe(`ipvlan, ${subject.name}`, { skip }, () => {
    linkPluginCases(subject, {
      type: 'ipvlan',
      kind: 'ipvlan',
      keys: { master: 'm0' },
      master: 'm0',
      referenceLeaks: true,
      referenceLeaksAddress: true,
    });
    modes(subject);
    chains(subject);
    if (subject.isOurs) newerKeys(subject);
  });
}

function modes(subject: Subject): void {
  for (const mode of ['', 'l2', 'l3', 'l3s']) {
    test(`mode "${mode}": two pods reach one another`, async () => {
      using world = new World();
      makeMaster('m0');
      const [a, b] = [world.netns('a'), world.netns('b')];
      const config = {
        type: 'ipvlan',
        master: 'm0',
        mode,
        mtu: 1400,
        ipam: hostLocal(world, { routes: [] }),
      };
      const prevResult = await call(subject, 'ADD', config, { containerID: 'a', netns: a });
      const result = await call(subject, 'ADD', config, { containerID: 'b', netns: b });
      assert.equal(modeOf(a), mode || 'l2');
      assert.equal(link('eth0', a)!.mtu, 1400);
      assert.equal(link('eth0', a)!.address, link('m0')!.address);
      inPod(a, 'busybox', 'ping', '-c', '1', '-w', '3', result.ips![0]!.address.split('/')[0]!);
      const check = (more: object) =>
        call(subject, 'CHECK', { ...config, ...more }, { containerID: 'a', netns: a, prevResult });
      await check({});
      const error = await failureOf(check({ mode: mode === 'l3' ? 'l3s' : 'l3' }));
      assert.match(error.message, /IPVlan mode \S+ does not match expected value/);
    });
  }

  const mistakes: Record<string, { keys: object; message: RegExp; ours?: RegExp }> = {
    'an unknown mode': { keys: { mode: 'l4' }, message: /unknown ipvlan mode: "l4"/ },
    'a parent that is not there': {
      keys: { master: 'nosuch' },
      message: /failed to lookup master "nosuch": Link not found/,
    },
    'no default route': { keys: { master: '' }, message: /no default route interface found/ },
    'neither IPAM nor addresses of a plugin before': {
      keys: { ipam: undefined },
      message: /failed to find plugin ""|no plugin name provided/,
      ours: /ipvlan requires an IPAM configuration or a previous result with addresses/,
    },
  };
  for (const [name, { keys, message, ours = message }] of Object.entries(mistakes)) {
    test(name, async () => {
      using world = new World();
      makeMaster('m0');
      const netns = world.netns('a');
      const config = { type: 'ipvlan', master: 'm0', ipam: hostLocal(world), ...keys };
      const error = await failureOf(call(subject, 'ADD', config, { netns }));
      assert.match(error.message, subject.isOurs ? ours : message);
      if (subject.isOurs)
        assert.deepEqual(
          links(netns).map(({ ifname }) => ifname),
          ['lo'],
        );
      assert.deepEqual(world.reservations('testnet'), []);
    });
  }
}

function chains(subject: Subject): void {
  const before = (name: string): Result => ({
    interfaces: [{ name }],
    ips: [{ address: '10.98.0.5/24', gateway: '10.98.0.1', interface: 0 }],
    routes: [{ dst: '10.50.0.0/16' }],
  });

  test('in a chain: parent and addresses are those of the plugin before', async () => {
    using world = new World();
    makeMaster('m1');
    const netns = world.netns('a');
    const result = await call(subject, 'ADD', { type: 'ipvlan' }, { netns, prevResult: before('m1') });
    assert.deepEqual(result.interfaces, [{ name: 'eth0', mac: link('m1')!.address, sandbox: netns }]);
    assert.deepEqual(result.ips, before('m1').ips);
    assert.deepEqual(result.routes, before('m1').routes);
    assert.deepEqual(addresses('eth0', netns), ['10.98.0.5/24']);
    assert.match(inPod(netns, 'ip', 'route'), /10\.50\.0\.0\/16 via 10\.98\.0\.1/);
    if (subject.isOurs) await call(subject, 'CHECK', { type: 'ipvlan' }, { netns, prevResult: result });
    await call(subject, 'DEL', { type: 'ipvlan' }, { netns, prevResult: result });
    assert.equal(link('eth0', netns), undefined);
  });

  test('in a chain: IPAM and master of the configuration come first', async () => {
    using world = new World();
    makeMaster('m0');
    makeMaster('m1');
    const netns = world.netns('a');
    const config = { type: 'ipvlan', master: 'm0', ipam: hostLocal(world) };
    const result = await call(subject, 'ADD', config, { netns, prevResult: before('m1') });
    assert.deepEqual(addresses('eth0', netns), ['10.99.0.2/24']);
    assert.equal(result.interfaces![0]!.mac, link('m0')!.address);
  });

  test('in a chain: two interfaces before leave the parent open', async () => {
    using world = new World();
    const netns = world.netns('a');
    const prevResult = { ...before('m1'), interfaces: [{ name: 'm1' }, { name: 'm2' }] };
    const error = await failureOf(call(subject, 'ADD', { type: 'ipvlan' }, { netns, prevResult }));
    assert.match(error.message, /chained master failure\. PrevResult lacks a single named interface/);
  });

  test('without master: the interface of the default route', {
    skip: lacksDefaultRoute(subject),
  }, async () => {
    using world = new World();
    makeMaster('m0');
    makeMaster('m1');
    run('ip', 'address', 'add', '192.0.2.2/24', 'dev', 'm1');
    run('ip', 'route', 'add', 'default', 'via', '192.0.2.1');
    const netns = world.netns('a');
    const result = await call(subject, 'ADD', { type: 'ipvlan', ipam: hostLocal(world) }, { netns });
    assert.equal(result.interfaces![0]!.mac, link('m1')!.address);
  });
}

/** Keys that Debian 12's reference is too old for. */
function newerKeys(subject: Subject): void {
  test('linkInContainer: the parent is in the pod', async () => {
    using world = new World();
    const netns = world.netns('a');
    inPod(netns, 'ip', 'link', 'add', 'm0', 'type', 'veth', 'peer', 'name', 'm0p');
    for (const end of ['m0', 'm0p']) inPod(netns, 'ip', 'link', 'set', end, 'up');
    const config = { type: 'ipvlan', master: 'm0', linkInContainer: true, ipam: hostLocal(world) };
    const prevResult = await call(subject, 'ADD', config, { netns });
    assert.match(inPod(netns, 'ip', 'link', 'show', 'eth0'), /eth0@m0:/);
    await call(subject, 'CHECK', config, { netns, prevResult });
    await call(subject, 'DEL', config, { netns, prevResult });
    assert.equal(link('eth0', netns), undefined);
  });

  test('ndisc_notify with an IPv6 address', async () => {
    using world = new World();
    makeMaster('m0');
    const netns = world.netns('a');
    const ipam = hostLocal(world, { subnet: 'fd00:99::/64', routes: [] });
    await call(subject, 'ADD', { type: 'ipvlan', master: 'm0', ipam }, { netns });
    assert.equal(inPod(netns, 'sysctl', '-n', 'net.ipv6.conf.eth0.ndisc_notify').trim(), '1');
  });

  test('STATUS: 50 when the parent is missing', async () => {
    const error = await failureOf(call(subject, 'STATUS', { type: 'ipvlan', master: 'nosuch' }));
    assert.equal(error.number, 50);
    await call(subject, 'STATUS', { type: 'ipvlan' });
  });
}
