import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { unpinNamespace } from '@amphipod/linux';
import { hostLocal, inPod } from './lib/link-plugin-cases.ts';
import { type Subject, subjects } from './lib/subjects.ts';
import { addresses, call, failureOf, link, links, routes, run, World } from './lib/world.ts';

const MAC = 'c2:00:00:00:00:01';

/** A veth is as good as hardware, but for what becomes of it when its namespace ends. */
function makeDevice(name = 'dev0', mac = MAC): void {
  run('ip', 'link', 'add', name, 'address', mac, 'type', 'veth', 'peer', 'name', `${name}p`);
  run('ip', 'link', 'set', name, 'up');
  run('ip', 'link', 'set', `${name}p`, 'up');
}

function podLinks(netns: string): string[] {
  return links(netns)
    .map(({ ifname }) => ifname)
    .filter((name) => name !== 'lo');
}

for (const subject of subjects) {
  describe(`host-device, ${subject.name}`, () => {
    moves(subject);
    failures(subject);
    if (subject.isOurs) {
      deletions(subject);
      strays(subject);
      checks(subject);
    }
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

function deletions(subject: Subject): void {
  test('a failed ADD puts the device back as it was: name, alias, up, addresses, routes', async () => {
    using world = new World();
    makeDevice();
    run('ip', 'link', 'set', 'dev0', 'alias', 'uplink to the rack');
    run('ip', 'address', 'add', '192.0.2.2/24', 'brd', '+', 'dev', 'dev0');
    run('ip', 'address', 'add', '2001:db8::2/64', 'dev', 'dev0', 'nodad');
    run('ip', 'route', 'add', 'default', 'via', '192.0.2.1', 'metric', '50');
    run('ip', 'route', 'add', '2001:db8:1::/48', 'via', '2001:db8::1');
    const state = () => [
      addresses('dev0'),
      link('dev0')!.ifalias,
      link('dev0')!.flags.includes('UP'),
      routes(),
    ];
    const before = state();
    const netns = world.netns('a');
    const ipam = hostLocal(world, { routes: [{ dst: '10.5.0.0/16', gw: '198.51.100.1' }] });
    const error = await failureOf(
      call(subject, 'ADD', { type: 'host-device', device: 'dev0', ipam }, { netns }),
    );
    assert.match(error.message, /add|append route/);
    assert.deepEqual(podLinks(netns), []);
    assert.deepEqual(state(), before);
    assert.deepEqual(world.reservations('testnet'), []);
    await call(subject, 'ADD', { type: 'host-device', device: 'dev0', ipam: hostLocal(world) }, { netns });
  });

  const gone: Record<string, { before(netns: string): void; netns?: string; configWithout?: string }> = {
    'no namespace is given (CNI-06)': { before: unpinNamespace, netns: '' },
    'the namespace is gone (CNI-06)': { before: unpinNamespace },
    'the path is an ordinary file (CNI-18)': {
      before(netns) {
        unpinNamespace(netns);
        writeFileSync(netns, '');
      },
    },
    'the device was unplugged': { before: (netns) => inPod(netns, 'ip', 'link', 'del', 'eth0') },
  };
  for (const [name, { before, netns: given }] of Object.entries(gone)) {
    test(`DEL succeeds and frees the address when ${name}`, async () => {
      using world = new World();
      makeDevice();
      const netns = world.netns('a');
      const config = { type: 'host-device', device: 'dev0', ipam: hostLocal(world) };
      const prevResult = await call(subject, 'ADD', config, { netns });
      before(netns);
      await call(subject, 'DEL', config, { netns: given ?? netns, prevResult });
      assert.deepEqual(world.reservations('testnet'), []);
      await call(subject, 'DEL', config, { netns: given ?? netns });
    });
  }

  test("DEL needs no more than the name of the pod's interface: PCI device unplugged, no ipam, no result", async () => {
    using world = new World();
    makeDevice();
    const netns = world.netns('a');
    await call(subject, 'ADD', { type: 'host-device', hwaddr: MAC }, { netns });
    await call(subject, 'DEL', { type: 'host-device', pciBusID: '0000:ff:1f.7' }, { netns });
    assert.ok(link('dev0'));
    await call(subject, 'DEL', { type: 'host-device' }, { netns });
  });

  test('DEL gives back what the reference plugin took', async () => {
    using world = new World();
    makeDevice();
    const netns = world.netns('a');
    const reference = subjects.find(({ isOurs }) => !isOurs)!;
    const config = { type: 'host-device', device: 'dev0' };
    await call(reference, 'ADD', config, { netns });
    await call(subject, 'DEL', config, { netns });
    assert.equal(link('dev0')!.ifalias, undefined);
  });

  test('DEL with the own name in use, in the pod or on the host', async () => {
    using world = new World();
    makeDevice();
    const netns = world.netns('a');
    const config = { type: 'host-device', device: 'dev0' };
    await call(subject, 'ADD', config, { netns });
    inPod(netns, 'ip', 'link', 'add', 'dev0', 'type', 'bridge');
    await call(subject, 'DEL', config, { netns });
    assert.equal(link('dev0')!.address, MAC);
    assert.deepEqual(podLinks(netns), ['dev0']);

    inPod(netns, 'ip', 'link', 'del', 'dev0');
    await call(subject, 'ADD', config, { netns });
    run('ip', 'link', 'add', 'dev0', 'type', 'bridge');
    const error = await failureOf(call(subject, 'DEL', config, { netns }));
    assert.match(
      error.message,
      /failed to rename device "eth0" to "dev0": the host has another of that name/,
    );
    assert.deepEqual(podLinks(netns), ['eth0']);
    run('ip', 'link', 'del', 'dev0');
    await call(subject, 'DEL', config, { netns });
    assert.equal(link('dev0')!.address, MAC);
  });

  test('a late DEL of an old container does not take the device from the new one', async () => {
    using world = new World();
    makeDevice();
    const netns = world.netns('a');
    const config = { type: 'host-device', device: 'dev0', ipam: hostLocal(world) };
    await call(subject, 'ADD', config, { netns, containerID: 'new' });
    await call(subject, 'DEL', config, { netns, containerID: 'old' });
    assert.deepEqual(podLinks(netns), ['eth0']);
    assert.equal(link('eth0', netns)!.ifalias, 'cni testnet new/eth0 was dev0');
  });
}

/** When a namespace ends, hardware falls back to the host under the pod's name and keeps its alias; a veth would be gone. */
function makeStray(name = 'eth0', owner = 'c1/eth0'): void {
  makeDevice(name);
  run('ip', 'link', 'set', name, 'alias', `cni testnet ${owner} was dev0`);
}

function strays(subject: Subject): void {
  const config = { type: 'host-device', device: 'dev0' };

  for (const netns of ['', '/run/netns/gone']) {
    test(`DEL with namespace "${netns}" gives a device that fell back its own name`, async () => {
      using world = new World();
      makeStray();
      await call(subject, 'DEL', { ...config, ipam: hostLocal(world) }, { netns, containerID: 'c2' });
      assert.ok(link('eth0'), "another container's");
      await call(subject, 'DEL', { ...config, ipam: hostLocal(world) }, { netns });
      assert.deepEqual([link('dev0')!.address, link('dev0')!.ifalias], [MAC, undefined]);
    });
  }

  test('GC gives devices of attachments that are not valid their own names', async () => {
    using _world = new World();
    makeStray();
    await call(subject, 'GC', config, { validAttachments: [{ containerID: 'c1', ifName: 'eth0' }] });
    assert.ok(link('eth0'));
    await call(subject, 'GC', { ...config, name: 'othernet' }, { validAttachments: [] });
    assert.ok(link('eth0'));
    await call(subject, 'GC', config, { validAttachments: [] });
    assert.deepEqual([link('dev0')!.address, link('dev0')!.ifalias], [MAC, undefined]);
  });

  for (const keys of [{ device: 'dev0' }, { hwaddr: MAC }]) {
    test(`the next ADD finds it by ${Object.keys(keys)[0]}, and its own name comes back with DEL`, async () => {
      using world = new World();
      makeStray('eth7', 'gone/eth7');
      const netns = world.netns('a');
      const prevResult = await call(subject, 'ADD', { type: 'host-device', ...keys }, { netns });
      assert.equal(prevResult.interfaces![0]!.mac, MAC);
      await call(subject, 'DEL', { type: 'host-device', ...keys }, { netns, prevResult });
      assert.deepEqual([link('dev0')!.address, link('dev0')!.ifalias], [MAC, undefined]);
    });
  }
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
