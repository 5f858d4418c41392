import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { hostLocal } from './lib/configs.ts';
import { linkPluginCases } from './lib/link-plugin-cases.ts';
import { lacksLinkKind } from './lib/requirements.ts';
import { type Subject, subjects } from './lib/subjects.ts';
import { makeMaster } from './lib/veth-device.ts';
import { call, failureOf, inPod, link, links, run, World } from './lib/world.ts';

const skip = lacksLinkKind('vlan');

function vlanOf(netns: string): { id: number; protocol: string } {
  const [found] = JSON.parse(inPod(netns, 'ip', '-j', '-d', 'link', 'show', 'eth0')) as {
    linkinfo: { info_data: { id: number; protocol: string } };
  }[];
  const { id, protocol } = found!.linkinfo.info_data;
  return { id, protocol };
}

for (const subject of subjects) {
  describe(`vlan, ${subject.name}`, { skip }, () => {
    linkPluginCases(subject, {
      type: 'vlan',
      kind: 'vlan',
      keys: { master: 'm0', vlanId: 100 },
      master: 'm0',
      referenceLeaks: true,
    });
    settings(subject);
    mistakes(subject);
    if (subject.isOurs) oursAlone(subject);
  });
}

function settings(subject: Subject): void {
  for (const vlanId of [0, 1, 4094]) {
    test(`VLAN ${vlanId}`, async () => {
      using world = new World();
      makeMaster('m0');
      const netns = world.netns('a');
      const config = { type: 'vlan', master: 'm0', vlanId, mtu: 1400, ipam: hostLocal(world) };
      const prevResult = await call(subject, 'ADD', config, { netns });
      assert.deepEqual(vlanOf(netns), { id: vlanId, protocol: '802.1Q' });
      assert.equal(link('eth0', netns)!.mtu, 1400);
      const check = (more: object) => call(subject, 'CHECK', { ...config, ...more }, { netns, prevResult });
      await check({});
      await failureOf(check({ vlanId: 7 }));
      await failureOf(check({ mtu: 1399 }));
    });
  }

  test('two ends of a cable reach one another within the VLAN', async () => {
    using world = new World();
    makeMaster('m0');
    const [a, b] = [world.netns('a'), world.netns('b')];
    const config = { type: 'vlan', master: 'm0', vlanId: 100, ipam: hostLocal(world, { routes: [] }) };
    await call(subject, 'ADD', config, { containerID: 'a', netns: a });
    const result = await call(subject, 'ADD', { ...config, master: 'm0p' }, { containerID: 'b', netns: b });
    inPod(a, 'busybox', 'ping', '-c', '1', '-w', '3', result.ips![0]!.address.split('/')[0]!);
  });
}

function mistakes(subject: Subject): void {
  const cases: Record<string, { keys: object; message: RegExp; ours?: RegExp; prepare?(): void }> = {
    'no master': { keys: { master: undefined }, message: /"master" field is required/ },
    'a VLAN ID that is too high': {
      keys: { vlanId: 4095 },
      message: /invalid VLAN ID 4095 \(must be between 0 and 4095 inclusive\)/,
    },
    'a negative VLAN ID': { keys: { vlanId: -1 }, message: /invalid VLAN ID -1/ },
    "an MTU above the parent's: the error has both": {
      keys: { mtu: 9000 },
      message: /invalid MTU 9000, must be \[0, master MTU\(1500\)\]/,
    },
    'a parent that is not there': {
      keys: { master: 'nosuch' },
      message: /Link not found/,
      ours: /failed to lookup master "nosuch": Link not found on the host/,
    },
    'no IPAM': {
      keys: { ipam: undefined },
      message: /failed to find plugin ""|no plugin name provided/,
      ours: /vlan interface requires an IPAM configuration/,
    },
    'a VLAN that the parent has already': {
      keys: {},
      message: /exists/,
      ours: /failed to create vlan: master "m0" has such an interface already/,
      prepare: () => run('ip', 'link', 'add', 'taken', 'link', 'm0', 'type', 'vlan', 'id', '100'),
    },
    'a parent that is down': {
      keys: {},
      message: /network is down/,
      ours: /failed to create vlan: master "m0" is down/,
      prepare: () => run('ip', 'link', 'set', 'm0', 'down'),
    },
  };
  for (const [name, { keys, message, ours = message, prepare }] of Object.entries(cases)) {
    test(`${name} (NET-07)`, async () => {
      using world = new World();
      makeMaster('m0');
      prepare?.();
      const netns = world.netns('a');
      const config = { type: 'vlan', master: 'm0', vlanId: 100, ipam: hostLocal(world), ...keys };
      const error = await failureOf(call(subject, 'ADD', config, { netns }));
      assert.match(error.message, subject.isOurs ? ours : message);
      if (!subject.isOurs) return;
      assert.deepEqual(
        links(netns).map(({ ifname }) => ifname),
        ['lo'],
      );
      assert.deepEqual(world.reservations('testnet'), []);
    });
  }
}

function oursAlone(subject: Subject): void {
  test('linkInContainer: the parent is in the pod', async () => {
    using world = new World();
    const netns = world.netns('a');
    inPod(netns, 'ip', 'link', 'add', 'm0', 'type', 'veth', 'peer', 'name', 'm0p');
    for (const end of ['m0', 'm0p']) inPod(netns, 'ip', 'link', 'set', end, 'up');
    const config = { type: 'vlan', master: 'm0', vlanId: 5, linkInContainer: true, ipam: hostLocal(world) };
    const prevResult = await call(subject, 'ADD', config, { netns });
    assert.match(inPod(netns, 'ip', 'link', 'show', 'eth0'), /eth0@m0:/);
    await call(subject, 'CHECK', config, { netns, prevResult });
    await call(subject, 'DEL', config, { netns, prevResult });
    assert.equal(link('eth0', netns), undefined);
  });

  test('STATUS: 50 when the parent is missing', async () => {
    using world = new World();
    const config = { type: 'vlan', master: 'nosuch', vlanId: 5, ipam: hostLocal(world) };
    const error = await failureOf(call(subject, 'STATUS', config));
    assert.equal(error.number, 50);
  });
}
