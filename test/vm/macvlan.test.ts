// vm: -n 1 -u -i off
// macvlan on what the development kernel lacks: VLAN interfaces and real cards as masters.
import assert from 'node:assert/strict';
import { afterEach, before, test } from 'node:test';
import { linkFind } from '@amphipod/netlink';
import { openCni, Pod, rtnl, run, staticIpam, until } from './support/cards.ts';
import { macvlanList as list } from './support/macvlan-list.ts';

const cni = openCni();
let master: string;
let outside: string;

before(async () => {
  const links = (JSON.parse(run('ip', '-json', 'link')) as { ifname: string; address: string }[]).filter(
    ({ ifname }) => ifname !== 'lo',
  );
  // The second one is on the same hub, and sees every frame: boot.sh gives it this address.
  outside = links.find(({ address }) => address.endsWith(':aa'))!.ifname;
  master = links.find(({ ifname }) => ifname !== outside)!.ifname;
  for (const link of [master, outside]) run('ip', 'link', 'set', link, 'up');
  await until(() => linkFind(rtnl, master)!.flags.lowerUp, 'carrier');
  run('ip', 'netns', 'add', 'outside');
  run('ip', 'link', 'set', outside, 'netns', 'outside');
  inOutside('ip', 'link', 'set', outside, 'up');
});

afterEach(() => {
  const left = JSON.parse(run('ip', '-json', 'link', 'show', 'type', 'macvlan')) as { ifname?: string }[];
  assert.deepEqual(
    left.map(({ ifname }) => ifname).filter((name) => name !== undefined),
    [],
    'no macvlan is left on the host',
  );
});

const inOutside = (program: string, ...args: string[]) =>
  run('ip', 'netns', 'exec', 'outside', program, ...args);

for (const mode of ['bridge', 'private', 'vepa'] as const) {
  test(`two pods on one card, mode ${mode}: ${mode === 'bridge' ? 'they reach' : 'they do not reach'} one another, and both the outside`, async () => {
    using one = new Pod('one');
    using two = new Pod('two');
    const net = (address: string) => list('lan', { master, mode, ...staticIpam(address) });
    await cni.addList(net('10.9.3.1/24'), one.attachment());
    await cni.addList(net('10.9.3.2/24'), two.attachment());
    inOutside('ip', 'address', 'add', '10.9.3.9/24', 'dev', outside);
    await until(() => one.canPing('10.9.3.9'), 'the outside');
    assert.equal(two.canPing('10.9.3.9'), true);
    assert.equal(one.canPing('10.9.3.2'), mode === 'bridge');
    await cni.checkList(net('10.9.3.1/24'), one.attachment());
    inOutside('ip', 'address', 'flush', 'dev', outside);
    await cni.delList(net('10.9.3.1/24'), one.attachment());
    await cni.delList(net('10.9.3.2/24'), two.attachment());
  });
}

test('passthru: one pod has the card, with its hardware address; a second is told why not', async () => {
  using one = new Pod('one');
  using two = new Pod('two');
  const net = list('lan', { master, mode: 'passthru' });
  await cni.addList(net, one.attachment());
  const address = one.run('cat', '/sys/class/net/net1/address').trim();
  assert.equal(address, linkFind(rtnl, master)!.mac);
  await assert.rejects(cni.addList(net, two.attachment()), {
    message: new RegExp(`master "${master}" has other macvlans`),
  });
  await cni.delList(net, one.attachment());
});

test('a VLAN interface as master: pods are in that VLAN, and in no other', async () => {
  run('ip', 'link', 'add', 'link', master, 'name', 'lan.100', 'type', 'vlan', 'id', '100');
  run('ip', 'link', 'set', 'lan.100', 'up');
  inOutside('ip', 'link', 'add', 'link', outside, 'name', 'out.100', 'type', 'vlan', 'id', '100');
  inOutside('ip', 'address', 'add', '10.9.4.9/24', 'dev', 'out.100');
  inOutside('ip', 'link', 'set', 'out.100', 'up');
  using tagged = new Pod('tagged');
  using plain = new Pod('plain');
  const vlan = list('vlan', { master: 'lan.100', ...staticIpam('10.9.4.1/24') });
  const lan = list('lan', { master, ...staticIpam('10.9.4.2/24') });
  await cni.addList(vlan, tagged.attachment());
  await cni.addList(lan, plain.attachment());
  await until(() => tagged.canPing('10.9.4.9'), 'the outside in the VLAN');
  assert.equal(plain.canPing('10.9.4.9'), false);
  assert.equal(tagged.canPing('10.9.4.2'), false);
  await cni.delList(vlan, tagged.attachment());
  await cni.delList(lan, plain.attachment());
  run('ip', 'link', 'del', 'lan.100');
  inOutside('ip', 'link', 'del', 'out.100');
});

test('the recipe of the page: the host reaches pods over a macvlan of its own', async () => {
  using pod = new Pod('recipe');
  const net = list('lan', { master, ...staticIpam('10.9.5.200/24') });
  run('ip', 'address', 'add', '10.9.5.7/24', 'dev', master);
  await cni.addList(net, pod.attachment());
  assert.equal(pod.canPing('10.9.5.7'), false, 'without it');
  run('ip', 'link', 'add', 'lan-host', 'link', master, 'type', 'macvlan', 'mode', 'bridge');
  run('ip', 'address', 'add', '10.9.5.240/32', 'dev', 'lan-host');
  run('ip', 'link', 'set', 'lan-host', 'up');
  run('ip', 'route', 'add', '10.9.5.192/26', 'dev', 'lan-host');
  await until(() => pod.canPing('10.9.5.240'), 'the host');
  run('ping', '-c', '1', '-W', '2', '10.9.5.200');
  await cni.delList(net, pod.attachment());
  run('ip', 'link', 'del', 'lan-host');
  run('ip', 'address', 'del', '10.9.5.7/24', 'dev', master);
});

test('without a master it is the interface of the default route', async () => {
  run('ip', 'address', 'add', '10.9.6.7/24', 'dev', master);
  run('ip', 'route', 'add', 'default', 'via', '10.9.6.1', 'dev', master);
  using pod = new Pod('default');
  const net = list('lan', staticIpam('10.9.6.8/24'));
  await cni.addList(net, pod.attachment());
  const [link] = JSON.parse(pod.run('ip', '-json', '-d', 'link', 'show', 'net1')) as { link_index: number }[];
  assert.equal(link!.link_index, linkFind(rtnl, master)!.ifIndex);
  await cni.delList(net, pod.attachment());
  run('ip', 'address', 'del', '10.9.6.7/24', 'dev', master);
});
