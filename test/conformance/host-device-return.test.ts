/** host-device: how a device comes back, after a failed ADD, by DEL, and when its pod died. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { unpinNamespace } from '@amphipod/linux';
import { hostLocal } from './lib/configs.ts';
import { type Subject, subjects } from './lib/subjects.ts';
import { MAC, makeDevice } from './lib/veth-device.ts';
import { addresses, call, failureOf, inPod, link, podLinks, routes, run, World } from './lib/world.ts';

const ours = subjects.filter(({ isOurs }) => isOurs);
for (const subject of ours) {
  describe(`host-device comes back, ${subject.name}`, () => {
    deletions(subject);
    strays(subject);
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
