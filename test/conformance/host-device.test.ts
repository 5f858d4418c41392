import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { hostLocal } from './lib/configs.ts';
import { type Subject, subjects } from './lib/subjects.ts';
import { MAC, makeDevice } from './lib/veth-device.ts';
import { addresses, call, failureOf, inPod, link, podLinks, routes, World } from './lib/world.ts';

for (const subject of subjects) {
  describe(`host-device, ${subject.name}`, () => {
    moves(subject);
    failures(subject);
    if (subject.isOurs) checks(subject);
  });
}

function moves(subject: Subject): void {
  test('ADD moves the device into the pod and names it, CHECK agrees, DEL gives it back', async () => {
    using world = new World();
    makeDevice();
    const netns = world.netns('a');
    const config = { type: 'host-device', device: 'dev0', ipam: hostLocal(world) };
    const result = await call(subject, 'ADD', config, { netns });
    assert.deepEqual(result.interfaces, [{ name: 'eth0', mac: MAC, sandbox: netns }]);
    assert.deepEqual(result.ips, [{ address: '10.99.0.2/24', gateway: '10.99.0.1', interface: 0 }]);
    assert.equal(link('dev0'), undefined);
    assert.deepEqual(podLinks(netns), ['eth0']);
    assert.ok(link('eth0', netns)!.flags.includes('UP'));
    assert.deepEqual(addresses('eth0', netns), ['10.99.0.2/24']);
    assert.ok(routes(netns).some(({ dst, gateway }) => dst === 'default' && gateway === '10.99.0.1'));
    if (subject.isOurs) assert.equal(link('eth0', netns)!.ifalias, 'cni testnet c1/eth0 was dev0');
    await call(subject, 'CHECK', config, { netns, prevResult: result });
    await call(subject, 'DEL', config, { netns, prevResult: result });
    assert.deepEqual(podLinks(netns), []);
    const back = link('dev0')!;
    assert.equal(back.address, MAC);
    assert.ok(!back.flags.includes('UP'));
    // The reference of Debian 12 leaves the alias.
    if (subject.isOurs) assert.equal(back.ifalias, undefined);
    assert.deepEqual(world.reservations('testnet'), []);
  });

  const layer2: Record<string, object> = {
    device: { device: 'dev0' },
    hwaddr: { hwaddr: MAC },
    'hwaddr in capitals': { hwaddr: MAC.toUpperCase() },
    'hwaddr with hyphens': { hwaddr: MAC.replaceAll(':', '-') },
    'device before hwaddr': { device: 'dev0', hwaddr: 'c2:00:00:00:00:02' },
  };
  for (const [name, keys] of Object.entries(layer2)) {
    test(`layer 2, by ${name}`, async () => {
      using world = new World();
      makeDevice();
      makeDevice('dev1', 'c2:00:00:00:00:02');
      const netns = world.netns('a');
      const config = { type: 'host-device', ...keys, dns: { nameservers: ['192.0.2.53'] } };
      const result = await call(subject, 'ADD', config, { netns });
      assert.deepEqual(result, { interfaces: [{ name: 'eth0', mac: MAC, sandbox: netns }] });
      assert.ok(link('eth0', netns)!.flags.includes('UP'));
      await call(subject, 'CHECK', config, { netns, prevResult: result });
      await call(subject, 'DEL', config, { netns, prevResult: result });
      assert.equal(link('dev0')!.address, MAC);
    });
  }

  test('IPv6, dns; the device keeps its name when that is the one in the pod too', async () => {
    using world = new World();
    makeDevice('eth0');
    const netns = world.netns('a');
    const dns = { nameservers: ['192.0.2.53'] };
    const ipam = hostLocal(world, { subnet: 'fd00:99::/64', routes: [{ dst: '::/0' }] });
    const config = { type: 'host-device', device: 'eth0', dns, ipam };
    const result = await call(subject, 'ADD', config, { netns });
    assert.deepEqual(result.dns, dns);
    assert.deepEqual(addresses('eth0', netns), ['fd00:99::2/64']);
    assert.doesNotMatch(inPod(netns, 'ip', '-6', 'address', 'show', 'scope', 'global'), /tentative/);
    await call(subject, 'DEL', config, { netns, prevResult: result });
    assert.equal(link('eth0')!.address, MAC);
  });
}

function failures(subject: Subject): void {
  const mistakes: Record<string, { keys: object; message: RegExp }> = {
    'no key at all': { keys: {}, message: /specify either "device", "hwaddr", "kernelpath" or "pciBusID"/ },
    'no such device': { keys: { device: 'nosuch' }, message: /failed to find host device: Link not found/ },
    'no such hardware address': {
      keys: { hwaddr: 'c2:00:00:00:00:09' },
      message: /failed to find (host|physical)/,
    },
    'what is no hardware address': {
      keys: { hwaddr: 'c2:00' },
      message: /failed to parse MAC address "c2:00"/,
    },
    'a path outside of /sys/devices': {
      keys: { kernelpath: '/tmp/x' },
      message: /kernel device path "\/tmp\/x" must be absolute and begin with \/sys\/devices\//,
    },
    'a kernel path that is not there': {
      keys: { kernelpath: '/sys/devices/nosuch' },
      message: /failed to find/,
    },
    'no such PCI device': {
      keys: { pciBusID: '0000:ff:1f.7' },
      message: /error with host device|no such file/,
    },
    'no such device id': { keys: { runtimeConfig: { deviceID: '0000:ff:1f.7' } }, message: /0000:ff:1f\.7/ },
  };
  for (const [name, { keys, message }] of Object.entries(mistakes)) {
    test(`${name}: ADD fails and leaves nothing`, async () => {
      using world = new World();
      const netns = world.netns('a');
      const config = { type: 'host-device', ...keys, ipam: hostLocal(world) };
      const error = await failureOf(call(subject, 'ADD', config, { netns }));
      assert.match(error.message, message);
      assert.deepEqual(world.reservations('testnet'), []);
    });
  }

  test('a name that the pod has already', async () => {
    using world = new World();
    makeDevice();
    const netns = world.netns('a');
    inPod(netns, 'ip', 'link', 'add', 'eth0', 'type', 'bridge');
    const error = await failureOf(call(subject, 'ADD', { type: 'host-device', device: 'dev0' }, { netns }));
    assert.match(error.message, /exist/);
    // The reference of Debian 12 leaves the device in the pod.
    if (subject.isOurs) assert.ok(link('dev0')!.flags.includes('UP'));
  });
}

function checks(subject: Subject): void {
  const breaks: Record<string, { break(netns: string): void; message: RegExp }> = {
    'the device is gone': {
      break: (netns) => inPod(netns, 'ip', 'link', 'del', 'eth0'),
      message: /eth0 not found/,
    },
    'the device is down': {
      break: (netns) => inPod(netns, 'ip', 'link', 'set', 'eth0', 'down'),
      // Its routes went too.
      message: /Expected Route|is down/,
    },
    'the hardware address is another': {
      break: (netns) => inPod(netns, 'ip', 'link', 'set', 'eth0', 'address', 'c2:00:00:00:00:05'),
      message: /hardware address c2:00:00:00:00:05, prevResult says c2:00:00:00:00:01/,
    },
    'the address is gone': {
      break: (netns) => inPod(netns, 'ip', 'address', 'flush', 'dev', 'eth0'),
      message: /Failed to find address/,
    },
  };
  for (const [name, { break: breakIt, message }] of Object.entries(breaks)) {
    test(`CHECK fails when ${name}`, async () => {
      using world = new World();
      makeDevice();
      const netns = world.netns('a');
      const config = { type: 'host-device', device: 'dev0', ipam: hostLocal(world) };
      const prevResult = await call(subject, 'ADD', config, { netns });
      await call(subject, 'CHECK', config, { netns, prevResult });
      breakIt(netns);
      const error = await failureOf(call(subject, 'CHECK', config, { netns, prevResult }));
      assert.match(error.message, message);
      assert.equal(error.number, 100);
    });
  }

  test('STATUS does not fail because a pod has the device', async () => {
    using world = new World();
    makeDevice();
    const config = { type: 'host-device', device: 'dev0' };
    await call(subject, 'ADD', config, { netns: world.netns('a') });
    await call(subject, 'STATUS', config);
  });
}
