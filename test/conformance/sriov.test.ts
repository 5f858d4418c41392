/** The plugin sriov without hardware; test/vm/sriov.test.ts does the same and more with real functions. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { CniError, type PluginRequest, type Result } from '@amphipod/cni';
import { unpinNamespace } from '@amphipod/linux';
import { addresses, FakeCard } from './lib/fake-card.ts';
import { inPod, addresses as ipAddresses, link, run, World } from './lib/world.ts';

const MAC = '02:00:00:00:0a:01';

function setUp() {
  const world = new World();
  const card = new FakeCard(world);
  const warnings: string[] = [];
  const start = [card.state(0), card.state(1)];
  const request = (containerID: string, netns: string, keys: object = {}): PluginRequest => ({
    ...{ containerID, netns, ifName: 'net1', args: '' },
    config: { cniVersion: '1.1.0', name: 'fast', type: 'sriov', deviceID: addresses[0], ...keys },
    delegate: async (_type, command) => (command === 'ADD' ? { ips: [{ address: '10.9.0.1/24' }] } : {}),
    warn: (message) => warnings.push(message),
    signal: new AbortController().signal,
  });
  const call = (
    command: 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS',
    containerID: string,
    { netns = join(world.dir, containerID), ...keys }: { netns?: string } & Record<string, unknown> = {},
    more: Partial<PluginRequest> = {},
  ): Promise<Result> => card.plugin.call(command, { ...request(containerID, netns, keys), ...more });
  return {
    ...{ world, card, warnings, call },
    assertAsBefore(index = 0, message?: string) {
      assert.deepEqual(card.state(index), start[index], message);
    },
    [Symbol.dispose]: () => world[Symbol.dispose](),
  };
}

describe('sriov on a card of our making', () => {
  test('ADD, CHECK, DEL: settings, interface, result; twice is fine', async () => {
    using lab = setUp();
    const netns = lab.world.netns('a');
    const keys = {
      vlan: 100,
      vlanQoS: 3,
      trust: 'on',
      spoofchk: 'off',
      max_tx_rate: 50,
      mac: MAC,
      ipam: { type: 'x' },
    };
    const result = await lab.call('ADD', 'a', keys);
    assert.deepEqual(result, {
      interfaces: [{ name: 'net1', mac: MAC, mtu: 1500, sandbox: netns, pciID: addresses[0] }],
      ips: [{ address: '10.9.0.1/24', interface: 0 }],
    });
    const [vf] = lab.card.vfs;
    assert.deepEqual(vf, {
      ...{ index: 0, mac: MAC, linkState: 'auto', trust: true, spoofCheck: false, rate: { min: 0, max: 50 } },
      vlan: { id: 100, qos: 3, protocol: '802.1Q' },
    });
    assert.equal(link('net1', netns)!.ifalias, 'cni fast a/net1 was vf0');
    assert.ok(ipAddresses('net1', netns).includes('10.9.0.1/24'));
    assert.equal(inPod(netns, 'cat', '/proc/sys/net/ipv4/conf/net1/arp_notify'), '1\n');
    await lab.call('CHECK', 'a', keys, { prevResult: result });
    vf!.trust = false;
    await assert.rejects(lab.call('CHECK', 'a', keys, { prevResult: result }), {
      ...{ number: 100, msg: 'vf 0 of pf0 has trust off, want trust on' },
    });
    await lab.call('DEL', 'a', keys);
    lab.assertAsBefore();
    await lab.call('DEL', 'a', keys);
    assert.deepEqual(lab.warnings, []);
  });

  test('SRI-02: a failed ADD leaves nothing, a plain one starts from nothing', async () => {
    using lab = setUp();
    lab.world.netns('a');
    const refused: [object, RegExp][] = [
      [
        { vlan: 1000, min_tx_rate: 5 },
        /failed to set min_tx_rate, max_tx_rate of 0000:01:10\.0 \(vf 0 of pf0\): .*EINVAL/,
      ],
      [{ vlan: 1000, link_state: 'enable' }, /failed to set link_state .*ENOTSUP/],
    ];
    for (const [keys, message] of refused) {
      await assert.rejects(lab.call('ADD', 'a', { ...keys }), { message });
      lab.assertAsBefore(0, JSON.stringify(keys));
    }
    const noAddress = { delegate: async () => ({}) };
    const late = lab.call('ADD', 'a', { vlan: 1000, mac: MAC, ipam: { type: 'x' } }, noAddress);
    await assert.rejects(late, { message: 'IPAM plugin returned missing IP config' });
    lab.assertAsBefore(0, 'IPAM');
    lab.card.vfs[0]!.vlan.id = 1000;
    await lab.call('ADD', 'a');
    assert.equal(lab.card.vfs[0]!.vlan.id, 0);
    await lab.call('DEL', 'a');
    assert.equal(lab.card.vfs[0]!.vlan.id, 1000, 'as ADD found it');
  });

  test('SRI-03: back from the host, with its name and MTU; a numbered name where that is taken', async () => {
    using lab = setUp();
    const netns = lab.world.netns('a');
    await lab.call('ADD', 'a', { vlan: 5, mac: MAC });
    inPod(netns, 'ip', 'link', 'set', 'net1', 'mtu', '1400');
    lab.card.fallBack(netns, 'net1', 'dev7');
    unpinNamespace(netns);
    await lab.call('DEL', 'a', { netns: '' });
    lab.assertAsBefore();

    const second = lab.world.netns('b');
    await lab.call('ADD', 'b');
    run('ip', 'link', 'add', 'vf0', 'type', 'bridge');
    await lab.call('DEL', 'b');
    assert.equal(lab.card.interfaceOf(0)!.name, 'vf0_1');
    assert.match(lab.warnings.join(), /the host has another interface vf0: the device is called vf0_1/);
    assert.equal(link('net1', second), undefined);
  });

  test('SRI-03: a plain file where the namespace was', async () => {
    using lab = setUp();
    const netns = lab.world.netns('a');
    await lab.call('ADD', 'a');
    lab.card.fallBack(netns, 'net1');
    unpinNamespace(netns);
    writeFileSync(netns, '');
    await lab.call('DEL', 'a');
    lab.assertAsBefore();
  });

  test('SRI-04: the hardware address of a lost pod is taken away, that of a pod is refused', async () => {
    using lab = setUp();
    const lost = lab.world.netns('lost');
    lab.world.netns('heir');
    await lab.call('ADD', 'lost', { mac: MAC });
    const heir = { deviceID: addresses[1], mac: MAC };
    await assert.rejects(lab.call('ADD', 'heir', heir), {
      message: `hardware address ${MAC} is that of ${addresses[0]} (vf 0), which "cni fast lost/net1" has`,
    });
    lab.assertAsBefore(1);
    lab.card.fallBack(lost, 'net1');
    unpinNamespace(lost);
    await lab.call('ADD', 'heir', heir);
    lab.assertAsBefore(0, 'released for the heir');
    assert.match(lab.warnings.join(), /which nobody has: taken away there/);
    await lab.call('DEL', 'heir', heir);
    lab.assertAsBefore(1);
    // Left by somebody who wrote nothing down.
    lab.card.vfs[0]!.mac = MAC;
    await lab.call('ADD', 'heir', heir);
    assert.equal(lab.card.vfs[0]!.mac, '00:00:00:00:00:00');
    await lab.call('DEL', 'heir', heir);
  });

  test('twenty ADDs at once: one has it; late DELs leave it alone; GC takes it from who is not valid', async () => {
    using lab = setUp();
    const names = Array.from({ length: 20 }, (_, i) => `pod${i}`);
    for (const name of names) lab.world.netns(name);
    const ends = await Promise.allSettled(names.map((name) => lab.call('ADD', name, { mac: MAC })));
    const [winner, ...others] = names.toSorted(
      (a, b) =>
        Number(ends[names.indexOf(a)]!.status !== 'fulfilled') -
        Number(ends[names.indexOf(b)]!.status !== 'fulfilled'),
    );
    assert.equal(ends.filter(({ status }) => status === 'fulfilled').length, 1);
    for (const end of ends) {
      if (end.status === 'rejected')
        assert.match(end.reason.message, /^pci address 0000:01:10\.0 is already allocated to/);
    }
    for (const name of others) await lab.call('DEL', name);
    await lab.call('DEL', 'earlier', { netns: join(lab.world.dir, winner!) });
    assert.equal(lab.card.interfaceOf(0), undefined, 'the winner has it');
    const valid = { validAttachments: [{ containerID: winner!, ifName: 'net1' }] };
    await lab.call('GC', '', { netns: '' }, valid);
    assert.equal(lab.card.interfaceOf(0), undefined, 'valid');
    await lab.call('GC', '', { netns: '', name: 'other' }, { validAttachments: [] });
    assert.equal(lab.card.interfaceOf(0), undefined, 'of another network');
    await lab.call('GC', '', { netns: '' }, { validAttachments: [] });
    lab.assertAsBefore();
  });

  test('who is killed in the middle leaves it to the next ADD, DEL or GC', async () => {
    using lab = setUp();
    for (const how of ['ADD', 'DEL', 'GC'] as const) {
      const netns = lab.world.netns(`killed-${how}`);
      await lab.call('ADD', `killed-${how}`, { vlan: 7, trust: 'on', mac: MAC });
      // As it is when the plugin ends between the move and the next step.
      lab.card.fallBack(netns, 'net1', 'vf0');
      unpinNamespace(netns);
      if (how === 'DEL') await lab.call('DEL', `killed-${how}`);
      else if (how === 'GC') await lab.call('GC', '', { netns: '' }, { validAttachments: [] });
      else {
        lab.world.netns('next');
        await lab.call('ADD', 'next');
        assert.deepEqual([lab.card.vfs[0]!.vlan.id, lab.card.vfs[0]!.trust], [0, false]);
        assert.match(lab.warnings.join(), /was still with "cni fast killed-ADD\/net1", whose DEL never came/);
        await lab.call('DEL', 'next');
      }
      lab.assertAsBefore(0, how);
    }
  });

  test("the reference's mark is heeded while its namespace is there, and ours is as it reads it", async () => {
    using lab = setUp();
    const theirs = lab.world.netns('theirs');
    const netns = lab.world.netns('a');
    const mark = join(lab.world.makeDir('sriov/pci'), addresses[0]);
    writeFileSync(mark, theirs);
    await assert.rejects(lab.call('ADD', 'a'), { message: /is already allocated by sriov-cni to/ });
    unpinNamespace(theirs);
    await lab.call('ADD', 'a');
    assert.equal(run('cat', mark), netns);
    await lab.call('DEL', 'a');
    assert.equal(run('ls', join(lab.world.dir, 'sriov/pci')).includes(addresses[0]), false);
  });

  test('what is no virtual function; an interface of that name in the pod; STATUS', async () => {
    using lab = setUp();
    const netns = lab.world.netns('a');
    const refuses = (keys: object, message: RegExp) =>
      assert.rejects(lab.call('ADD', 'a', { ...keys }), { message });
    await refuses({ deviceID: '0000:7f:00.0' }, /there is no such PCI device/);
    await refuses({ deviceID: '0000:01:00.0' }, /the device is no virtual function/);
    await refuses({ deviceID: undefined }, /VF pci addr is required/);
    inPod(netns, 'ip', 'link', 'add', 'net1', 'type', 'bridge');
    await refuses({ vlan: 5 }, /container interface name \("net1"\) already exists/);
    lab.assertAsBefore();
    await lab.call('STATUS', '', { netns: '' });
    await assert.rejects(lab.call('STATUS', '', { netns: '', deviceID: '0000:7f:00.0' }), { number: 50 });
  });

  test('DEL, STATUS and GC reach the IPAM plugin, and its errors the caller', async () => {
    using lab = setUp();
    for (const verb of ['DEL', 'STATUS', 'GC'] as const) {
      const calls: string[] = [];
      const keys = { ipam: { type: 'x' }, 'cni.dev/valid-attachments': [] };
      const told: PluginRequest['delegate'] = async (type, command) => {
        calls.push(`${type} ${command}`);
        return {};
      };
      await lab.call(verb, 'a', keys, { delegate: told });
      assert.deepEqual(calls, [`x ${verb}`]);
      const busy = async () => {
        throw new CniError('plugin-not-available', 'the pool is empty');
      };
      await assert.rejects(lab.call(verb, 'a', keys, { delegate: busy }), /the pool is empty/, verb);
    }
  });

  test('the log file has what was done; one that cannot be written is no failure', async () => {
    using lab = setUp();
    lab.world.netns('a');
    const logFile = join(lab.world.dir, 'log');
    await lab.call('ADD', 'a', { logFile, logLevel: 'debug', vlan: 9 });
    await lab.call('DEL', 'a', { logFile });
    const lines = run('cat', logFile).trim().split('\n');
    assert.match(
      lines[0]!,
      /^\S+Z debug cni fast a\/net1: 0000:01:10\.0: vlan, vlanQoS, vlanProto 9\/0\/802\.1Q$/,
    );
    assert.match(lines.at(-1)!, / info cni fast a\/net1: 0000:01:10\.0 is free$/);
    await lab.call('ADD', 'a', { logFile: '/nonexistent/log' });
    assert.match(lab.warnings.join(), /write \/nonexistent\/log: ENOENT/);
    await lab.call('DEL', 'a');
  });
});
