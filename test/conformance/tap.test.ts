import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { hostLocal } from './lib/configs.ts';
import { linkPluginCases } from './lib/link-plugin-cases.ts';
import { lacksPlugin } from './lib/requirements.ts';
import { type Subject, subjects } from './lib/subjects.ts';
import { addresses, call, failureOf, inPod, link, links, World } from './lib/world.ts';

interface TunData {
  type: string;
  persist: boolean;
  multi_queue: boolean;
  user?: string | number;
  group?: string | number;
}

function details(netns: string, name = 'eth0'): TunData {
  const [found] = JSON.parse(inPod(netns, 'ip', '-j', '-d', 'link', 'show', name)) as {
    linkinfo: { info_data: TunData };
  }[];
  return found!.linkinfo.info_data;
}

for (const subject of subjects) {
  describe(`tap, ${subject.name}`, { skip: lacksPlugin(subject, 'tap') }, () => {
    linkPluginCases(subject, {
      type: 'tap',
      kind: 'tun',
      keys: {},
      referenceLeaks: true,
      referenceFails: {
        IPv6: 'the reference waits 5 s for a carrier, and the address is tentative after that',
        'name in the pod': 'the reference takes the interface that is there, whatever it is, for its own',
      },
    });
    settings(subject);
    if (subject.isOurs) differences(subject);
  });
}

function settings(subject: Subject): void {
  test("layer 2: up, persistent, one queue, anybody's", async () => {
    using world = new World();
    const netns = world.netns('a');
    const result = await call(subject, 'ADD', { type: 'tap' }, { netns });
    assert.deepEqual(result.ips ?? [], []);
    assert.deepEqual(addresses('eth0', netns), []);
    assert.ok(link('eth0', netns)!.flags.includes('UP'));
    const { type, persist, multi_queue, user, group } = details(netns);
    assert.deepEqual(
      { type, persist, multi_queue, user, group },
      { type: 'tap', persist: true, multi_queue: false, user: undefined, group: undefined },
    );
    await call(subject, 'CHECK', { type: 'tap' }, { netns, prevResult: result });
    await call(subject, 'DEL', { type: 'tap' }, { netns, prevResult: result });
    assert.equal(link('eth0', netns), undefined);
  });

  test('multiQueue, owner, group, mtu, mac', async () => {
    using world = new World();
    const netns = world.netns('a');
    const mac = 'c2:00:00:00:00:01';
    const config = { type: 'tap', multiQueue: true, owner: 1001, group: 1002, mtu: 1400, mac };
    const result = await call(subject, 'ADD', config, { netns });
    const data = details(netns);
    assert.deepEqual([data.multi_queue, `${data.user}`, `${data.group}`], [true, '1001', '1002']);
    // The reference forgets both when owner and group are given.
    if (subject.isOurs) {
      assert.equal(link('eth0', netns)!.address, mac);
      assert.equal(link('eth0', netns)!.mtu, 1400);
    }
    assert.equal(result.interfaces![0]!.mac, link('eth0', netns)!.address);
    await call(subject, 'CHECK', config, { netns, prevResult: result });
  });

  for (const id of ['owner', 'group'] as const) {
    test(`${id} alone, 0 (root) among them`, async () => {
      using world = new World();
      const netns = world.netns('a');
      await call(subject, 'ADD', { type: 'tap', [id]: 0 }, { netns });
      const data = details(netns);
      assert.match(`${id === 'owner' ? data.user : data.group}`, /^(0|root)$/);
      assert.equal(id === 'owner' ? data.group : data.user, undefined);
    });
  }

  test('mac: the key, then CNI_ARGS, then runtimeConfig', async () => {
    using world = new World();
    const netns = world.netns('a');
    const [key, args, runtime] = ['c2:00:00:00:00:01', 'c2:00:00:00:00:02', 'c2:00:00:00:00:03'];
    const add = (more: object, ifName: string, text = '') =>
      call(subject, 'ADD', { type: 'tap', mac: key, ...more }, { netns, ifName, args: text });
    const macs = [
      await add({}, 'eth0'),
      await add({}, 'eth1', `IgnoreUnknown=1;MAC=${args}`),
      await add({ runtimeConfig: { mac: runtime } }, 'eth2', `IgnoreUnknown=1;MAC=${args}`),
    ].map(({ interfaces }) => interfaces![0]!.mac);
    assert.deepEqual(macs, [key, args, runtime]);
  });

  test('bridge: the device joins a bridge of the pod; a missing one is an error', async () => {
    using world = new World();
    const netns = world.netns('a');
    inPod(netns, 'ip', 'link', 'add', 'br0', 'type', 'bridge');
    const config = { type: 'tap', bridge: 'br0' };
    const prevResult = await call(subject, 'ADD', config, { netns });
    assert.equal(link('eth0', netns)!.master, 'br0');
    await call(subject, 'CHECK', config, { netns, prevResult });
    const error = await failureOf(
      call(subject, 'ADD', { type: 'tap', bridge: 'br1' }, { netns, ifName: 'eth1' }),
    );
    assert.match(error.message, /failed to get bridge br1: Link not found/);
    if (subject.isOurs) assert.equal(link('eth1', netns), undefined);
  });
}

function differences(subject: Subject): void {
  test('selinuxContext without SELinux is an error, and nothing is left', async (context) => {
    using world = new World();
    const netns = world.netns('a');
    const config = {
      type: 'tap',
      selinuxContext: 'system_u:system_r:container_t:s0',
      ipam: hostLocal(world),
    };
    try {
      await call(subject, 'ADD', config, { netns });
    } catch (error) {
      assert.match((error as Error).message, /failed set socket label/);
      assert.deepEqual(
        links(netns).map(({ ifname }) => ifname),
        ['lo'],
      );
      assert.deepEqual(world.reservations('testnet'), []);
      return;
    }
    context.diagnostic('this kernel has SELinux');
    assert.equal(details(netns).persist, true);
  });

  test('CHECK compares owner, group, queues and bridge', async () => {
    using world = new World();
    const netns = world.netns('a');
    const config = { type: 'tap', owner: 1001, group: 1002 };
    const prevResult = await call(subject, 'ADD', config, { netns });
    const check = async (more: object) =>
      (await failureOf(call(subject, 'CHECK', { ...config, ...more }, { netns, prevResult }))).message;
    assert.match(await check({ owner: 5 }), /eth0 has owner 1001, want 5/);
    assert.match(await check({ group: 5 }), /eth0 has group 1002, want 5/);
    assert.match(await check({ multiQueue: true }), /eth0 has one queue/);
    assert.match(await check({ bridge: 'br0' }), /eth0 is no port of bridge br0/);
    await call(subject, 'CHECK', config, { netns, prevResult });
  });
}
