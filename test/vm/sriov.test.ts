// vm: -n 2 -i on
// The plugin sriov on virtual functions of two igb cards that are joined by a hub.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { afterEach, before, test } from 'node:test';
import type { Result } from '@amphipod/cni';
import { pciBindDriver, pciNetdevs } from '@amphipod/linux';
import { linkFind, openRtnlIn } from '@amphipod/netlink';
import {
  type Card,
  list,
  openCni,
  Pod,
  readText,
  rtnl,
  run,
  setUpCards,
  stateOf,
  staticIpam,
  until,
  vfOf,
} from './support/cards.ts';

let cards: [Card, Card];
const warnings: string[] = [];
const cni = openCni(warnings);
/** What each function was like at the start: every test has to leave it so. */
const start = new Map<string, object>();
const everyVf = () => cards.flatMap((card) => card.vfs.map((address, index) => ({ card, index, address })));

before(async () => {
  const [one, two, ...more] = await setUpCards(2);
  assert.ok(one !== undefined && two !== undefined && more.length === 0, 'two cards');
  cards = [one, two];
  for (const { card, index, address } of everyVf()) start.set(address, stateOf(card, index));
});

afterEach(() => {
  for (const { card, index, address } of everyVf()) {
    assert.deepEqual(stateOf(card, index), start.get(address), `${address} is as it was at the start`);
  }
  warnings.length = 0;
});

const vf = (card: 0 | 1, index: 0 | 1) => cards[card].vfs[index]!;
const interfaceOf = ({ interfaces }: Result) => interfaces![0]!;

test('ADD: the interface in the pod, the result, CHECK; DEL gives it back', async () => {
  using pod = new Pod('plain');
  const net = list('fast', { deviceID: vf(0, 0), ...staticIpam('10.9.0.1/24', 'fd09::1/64') });
  const result = await cni.addList(net, pod.attachment());
  const conn = openRtnlIn(pod.netns);
  const link = linkFind(conn, 'net1')!;
  assert.deepEqual(interfaceOf(result), {
    ...{ name: 'net1', mac: link.mac, mtu: 1500, sandbox: pod.netns, pciID: vf(0, 0) },
  });
  assert.equal(link.flags.up, true);
  assert.match(link.alias!, new RegExp(`^cni fast plain/net1 was ${cards[0].name}v0$`));
  assert.equal(pciNetdevs(vf(0, 0)).length, 0, 'not on the host');
  assert.match(pod.run('ip', 'address', 'show', 'net1'), /10\.9\.0\.1\/24/);
  assert.doesNotMatch(pod.run('ip', 'address', 'show', 'net1'), /tentative/);
  await cni.checkList(net, pod.attachment());
  conn.close();
  await cni.delList(net, pod.attachment());
  await cni.delList(net, pod.attachment());
  assert.deepEqual(warnings, []);
});

const keyCases: { keys: object; expected: object }[] = [
  { keys: { vlan: 100 }, expected: { vlan: { id: 100, qos: 0, protocol: '802.1Q' } } },
  { keys: { vlan: 100, vlanQoS: 3 }, expected: { vlan: { id: 100, qos: 3, protocol: '802.1Q' } } },
  { keys: { mac: '02:00:00:00:0A:01' }, expected: { mac: '02:00:00:00:0a:01' } },
  { keys: { runtimeConfig: { mac: '02:00:00:00:0a:02' } }, expected: { mac: '02:00:00:00:0a:02' } },
  { keys: { spoofchk: 'off' }, expected: { spoofCheck: false } },
  { keys: { trust: 'on' }, expected: { trust: true } },
  { keys: { max_tx_rate: 100 }, expected: { rate: { min: 0, max: 100 } } },
  { keys: { link_state: 'auto' }, expected: { linkState: 'auto' } },
];

for (const { keys, expected } of keyCases) {
  test(`${JSON.stringify(keys)} is set by ADD, looked at by CHECK, taken back by DEL`, async () => {
    using pod = new Pod('keys');
    const net = list('fast', { deviceID: vf(0, 0), ...keys });
    const result = await cni.addList(net, pod.attachment());
    const now = vfOf(cards[0], 0);
    for (const [key, value] of Object.entries(expected)) {
      assert.deepEqual(now[key as keyof typeof now], value, key);
    }
    if ('mac' in expected) {
      assert.equal(interfaceOf(result).mac, expected.mac);
      assert.match(pod.run('ip', 'link', 'show', 'net1'), new RegExp(String(expected.mac)));
    }
    await cni.checkList(net, pod.attachment());
    await cni.delList(net, pod.attachment());
  });
}

test('CHECK tells each setting that is not as it should be', async () => {
  using pod = new Pod('drift');
  const net = list('fast', { deviceID: vf(0, 0), vlan: 100, spoofchk: 'off' });
  await cni.addList(net, pod.attachment());
  const set = (...words: string[]) => run('ip', 'link', 'set', cards[0].name, 'vf', '0', ...words);
  const fails = (message: RegExp) => assert.rejects(cni.checkList(net, pod.attachment()), { message });
  set('vlan', '200');
  await fails(/vf 0 of \S+ has vlan, vlanQoS, vlanProto 200\/0\/802\.1Q, want .* 100\/0\/802\.1Q/);
  set('vlan', '100');
  set('trust', 'on');
  await fails(/has trust on, want trust off/);
  set('trust', 'off');
  set('spoofchk', 'on');
  await fails(/has spoofchk on, want spoofchk off/);
  set('spoofchk', 'off');
  set('max_tx_rate', '50');
  await fails(/has min_tx_rate, max_tx_rate 0\/50, want .* 0\/0/);
  set('max_tx_rate', '0');
  await cni.checkList(net, pod.attachment());
  pod.run('ip', 'link', 'set', 'net1', 'down');
  await fails(/net1 is down/);
  await cni.delList(net, pod.attachment());
});

test('pods on functions of two cards reach one another; VLANs keep them apart', async () => {
  using left = new Pod('left');
  using right = new Pod('right');
  const net = (deviceID: string, address: string, keys = {}) =>
    list('wire', { deviceID, ...keys, ...staticIpam(address) });
  const leftNet = net(vf(0, 0), '10.9.1.1/24');
  await cni.addList(leftNet, left.attachment());
  const rightNet = net(vf(1, 0), '10.9.1.2/24');
  await cni.addList(rightNet, right.attachment());
  await until(() => left.canPing('10.9.1.2'), 'untagged');
  assert.equal(right.canPing('10.9.1.1'), true);

  await cni.delList(rightNet, right.attachment());
  const taggedRight = net(vf(1, 0), '10.9.1.2/24', { vlan: 100 });
  await cni.addList(taggedRight, right.attachment());
  const carrier = () => right.run('cat', '/sys/class/net/net1/carrier').trim() === '1';
  await until(carrier, 'carrier');
  assert.equal(left.canPing('10.9.1.2'), false, 'tagged and untagged');

  await cni.delList(leftNet, left.attachment());
  const taggedLeft = net(vf(0, 0), '10.9.1.1/24', { vlan: 100 });
  await cni.addList(taggedLeft, left.attachment());
  await until(() => left.canPing('10.9.1.2'), 'the same VLAN');
  await cni.delList(taggedLeft, left.attachment());
  await cni.delList(taggedRight, right.attachment());
});

test('SRI-02: a failed ADD leaves nothing on the function, and a plain ADD starts from nothing', async () => {
  const refused: [object, RegExp][] = [
    [{ vlan: 1000, min_tx_rate: 10 }, /failed to set min_tx_rate, max_tx_rate of \S+ \(vf 0 of \S+\)/],
    [{ vlan: 1000, link_state: 'disable', trust: 'on' }, /failed to set link_state/],
    [{ vlan: 1000, vlanProto: '802.1ad' }, /failed to set vlan, vlanQoS, vlanProto/],
    [
      { vlan: 1000, mac: '02:00:00:00:0a:03', ipam: { type: 'static' } },
      /IPAM plugin returned missing IP config/,
    ],
  ];
  for (const [keys, message] of refused) {
    using pod = new Pod('failed');
    const net = list('fast', { deviceID: vf(0, 0), ...keys });
    await assert.rejects(cni.addList(net, pod.attachment()), { message });
    assert.deepEqual(stateOf(cards[0], 0), start.get(vf(0, 0)), JSON.stringify(keys));
  }
  // By somebody who does not tell.
  run('ip', 'link', 'set', cards[0].name, 'vf', '0', 'vlan', '1000');
  using pod = new Pod('after');
  const net = list('fast', { deviceID: vf(0, 0) });
  await cni.addList(net, pod.attachment());
  assert.equal(vfOf(cards[0], 0).vlan.id, 0);
  await cni.delList(net, pod.attachment());
  assert.equal(vfOf(cards[0], 0).vlan.id, 1000, 'DEL leaves what ADD found');
  run('ip', 'link', 'set', cards[0].name, 'vf', '0', 'vlan', '0');
});

test('SRI-03: the function comes back from a namespace that is gone, also when its name is taken', async () => {
  const net = list('fast', { deviceID: vf(0, 0), vlan: 100, mac: '02:00:00:00:0a:04' });
  using pod = new Pod('gone');
  await cni.addList(net, pod.attachment());
  pod.run('ip', 'link', 'set', 'net1', 'mtu', '1400');
  pod.remove();
  await cni.delList(net, { ...pod.attachment(), netns: '' });
  assert.deepEqual(stateOf(cards[0], 0), start.get(vf(0, 0)));

  // A plain file where the namespace was.
  using second = new Pod('second');
  await cni.addList(net, second.attachment());
  second.remove();
  writeFileSync(second.netns, '');
  await cni.delList(net, second.attachment());
  run('rm', second.netns);
  assert.deepEqual(stateOf(cards[0], 0), start.get(vf(0, 0)));

  using third = new Pod('third');
  await cni.addList(net, third.attachment());
  const name = `${cards[0].name}v0`;
  run('ip', 'link', 'add', name, 'type', 'dummy');
  await cni.delList(net, third.attachment());
  assert.equal(pciNetdevs(vf(0, 0))[0], `${name}_1`);
  assert.match(
    warnings.join(),
    new RegExp(`the host has another interface ${name}: the device is called ${name}_1`),
  );
  run('ip', 'link', 'del', name);
  run('ip', 'link', 'set', `${name}_1`, 'name', name);
});

test('SRI-03: a namespace that only a process still has is no way to lose a function', async () => {
  const net = list('fast', { deviceID: vf(0, 0) });
  using pod = new Pod('held');
  await cni.addList(net, pod.attachment());
  const conn = openRtnlIn(pod.netns);
  pod.remove();
  await cni.delList(net, { ...pod.attachment(), netns: '' });
  assert.match(warnings.join(), /its driver is bound anew/);
  conn.close();
  // A new interface, with a hardware address of its own.
  start.set(vf(0, 0), stateOf(cards[0], 0));
});

test('SRI-04: a hardware address that a lost pod left is taken away; that of another pod is refused', async () => {
  const mac = '02:00:00:00:0a:05';
  using lost = new Pod('lost');
  using heir = new Pod('heir');
  await cni.addList(list('fast', { deviceID: vf(0, 0), mac }), lost.attachment());
  const net = list('fast', { deviceID: vf(0, 1), mac });
  await assert.rejects(cni.addList(net, heir.attachment()), {
    message: new RegExp(
      `hardware address ${mac} is that of ${vf(0, 0)} \\(vf 0\\), which "cni fast lost/net1" has`,
    ),
  });
  lost.remove();
  await cni.addList(net, heir.attachment());
  assert.match(warnings.join(), /which nobody has: taken away there/);
  assert.deepEqual(stateOf(cards[0], 0), start.get(vf(0, 0)));
  await cni.delList(net, heir.attachment());
  // Left by somebody else's plugin.
  run('ip', 'link', 'set', cards[0].name, 'vf', '0', 'mac', mac);
  await cni.addList(net, heir.attachment());
  assert.notEqual(vfOf(cards[0], 0).mac, mac);
  await cni.delList(net, heir.attachment());
  run(
    'ip',
    'link',
    'set',
    cards[0].name,
    'vf',
    '0',
    'mac',
    (start.get(vf(0, 0)) as { vf: { mac: string } }).vf.mac,
  );
});

test('twenty ADDs at once for one function: one has it; a late DEL leaves its owner alone', async () => {
  const pods = Array.from({ length: 20 }, (_, i) => new Pod(`many${i}`));
  const net = list('fast', { deviceID: vf(0, 0), mac: '02:00:00:00:0a:06' });
  const ends = await Promise.allSettled(pods.map((pod) => cni.addList(net, pod.attachment())));
  const winners = pods.filter((_, i) => ends[i]!.status === 'fulfilled');
  assert.equal(winners.length, 1);
  const [winner] = winners;
  for (const end of ends)
    if (end.status === 'rejected') assert.match(end.reason.message, /already allocated/);
  for (const pod of pods.filter((each) => each !== winner)) await cni.delList(net, pod.attachment());
  await cni.checkList(net, winner!.attachment());
  // The namespace's path has a new owner; an old DEL arrives for it.
  await cni.delList(net, { ...winner!.attachment(), containerID: 'before' });
  await cni.checkList(net, winner!.attachment());
  await cni.delList(net, winner!.attachment());
  for (const pod of pods) pod.remove();
});

test('a function that the reference has given away is refused, until its namespace is gone', async () => {
  using holder = new Pod('holder');
  using pod = new Pod('asks');
  const net = list('fast', { deviceID: vf(0, 0) });
  run('mkdir', '-p', '/var/lib/cni/sriov/pci');
  writeFileSync(`/var/lib/cni/sriov/pci/${vf(0, 0)}`, holder.netns);
  await assert.rejects(cni.addList(net, pod.attachment()), { message: /already allocated by sriov-cni to/ });
  holder.remove();
  await cni.addList(net, pod.attachment());
  assert.equal(readText(`/var/lib/cni/sriov/pci/${vf(0, 0)}`), pod.netns, 'as the reference marks it');
  await cni.delList(net, pod.attachment());
});

test('the driver of a program in user space: settings and addresses, and no interface', async () => {
  run('modprobe', 'vfio-pci');
  pciBindDriver(vf(1, 1), 'vfio-pci');
  using pod = new Pod('dpdk');
  const net = list('fast', {
    deviceID: vf(1, 1),
    vlan: 7,
    mac: '02:00:00:00:0a:07',
    ...staticIpam('10.9.2.1/24'),
  });
  const result = await cni.addList(net, pod.attachment());
  assert.deepEqual(interfaceOf(result), {
    ...{ name: 'net1', mac: '02:00:00:00:0a:07', sandbox: pod.netns, pciID: vf(1, 1) },
  });
  assert.equal(result.ips?.[0]?.address, '10.9.2.1/24');
  assert.equal(vfOf(cards[1], 1).vlan.id, 7);
  await cni.checkList(net, pod.attachment());
  await cni.delList(net, pod.attachment());
  assert.deepEqual(vfOf(cards[1], 1), (start.get(vf(1, 1)) as { vf: object }).vf);
  pciBindDriver(vf(1, 1), undefined);
  await until(() => pciNetdevs(vf(1, 1)).length === 1, 'interface');
  run('udevadm', 'settle', '-t', '30');
  start.set(vf(1, 1), stateOf(cards[1], 1));
});

test('what is no virtual function is refused; STATUS looks for the device; GC puts in order what nobody has', async () => {
  using pod = new Pod('other');
  const refuses = (deviceID: string, message: RegExp) =>
    assert.rejects(cni.addList(list('fast', { deviceID }), pod.attachment()), { message });
  await refuses('0000:7f:00.0', /failed to find virtual function 0000:7f:00\.0: there is no such PCI device/);
  await refuses(cards[0].address, /the device is no virtual function/);
  await assert.rejects(cni.addList(list('fast', {}), pod.attachment()), {
    message: /VF pci addr is required/,
  });
  await cni.status(list('fast', { deviceID: vf(0, 0) }));
  await assert.rejects(cni.status(list('fast', { deviceID: '0000:7f:00.0' })), { number: 50 });

  const [kept, stale] = [
    list('fast', { deviceID: vf(0, 0), vlan: 5 }),
    list('fast', { deviceID: vf(0, 1), vlan: 6 }),
  ];
  await cni.addList(kept, pod.attachment('net1'));
  await cni.addList(stale, pod.attachment('net2'));
  run('rm', '-r', '/var/lib/cni/results');
  await cni.gc(kept, { validAttachments: [{ containerID: 'other', ifName: 'net1' }] });
  assert.deepEqual(stateOf(cards[0], 1), start.get(vf(0, 1)));
  assert.equal(vfOf(cards[0], 0).vlan.id, 5);
  await cni.delList(kept, pod.attachment('net1'));
});

test('the same as a program', async () => {
  const executed = openCni(warnings, { isExecuted: true });
  using pod = new Pod('program');
  const net = list('fast', { deviceID: vf(0, 0), mac: '02:00:00:00:0a:08', vlan: 9 });
  const result = await executed.addList(net, pod.attachment());
  assert.deepEqual(interfaceOf(result), {
    ...{ name: 'net1', mac: '02:00:00:00:0a:08', mtu: 1500, sandbox: pod.netns, pciID: vf(0, 0) },
  });
  await executed.delList(net, pod.attachment());
});

test('the physical function and its count of virtual ones can go: DEL is fine', async () => {
  using pod = new Pod('unplugged');
  const net = list('fast', { deviceID: vf(1, 0) });
  await cni.addList(net, pod.attachment());
  writeFileSync(`/sys/bus/pci/devices/${cards[1].address}/sriov_numvfs`, '0');
  await cni.delList(net, pod.attachment());
  const [, two] = await setUpCards(2);
  cards[1] = two!;
  for (const { card, index, address } of everyVf()) start.set(address, stateOf(card, index));
  assert.ok(rtnl);
});
