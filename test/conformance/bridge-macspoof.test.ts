import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bridgeConfig } from './lib/configs.ts';
import { type Subject, subjects } from './lib/subjects.ts';
import { type Config, call, failureOf, inPod, run, World } from './lib/world.ts';

function configOf(world: World, more: object = {}): Config {
  return bridgeConfig(world, { macspoofchk: true, ...more });
}

function setMac(netns: string, mac: string): void {
  inPod(netns, 'ip', 'link', 'set', 'eth0', 'address', mac);
}

function reachesGateway(netns: string): boolean {
  try {
    inPod(netns, 'busybox', 'ping', '-c', '1', '-w', '2', '10.99.0.1');
    return true;
  } catch {
    return false;
  }
}

/** Packet filters of the bridge family. */
function rules(): string {
  return run('nft', 'list', 'ruleset', 'bridge');
}

for (const subject of subjects) {
  describe(`bridge with macspoofchk, ${subject.name}`, () => {
    test('only the own hardware address passes, and others are not checked', async () => {
      using world = new World();
      const [a, b, free] = [world.netns('a'), world.netns('b'), world.netns('free')];
      const config = configOf(world);
      const result = await call(subject, 'ADD', config, { containerID: 'a', netns: a });
      await call(subject, 'ADD', config, { containerID: 'b', netns: b });
      const unchecked = configOf(world, { macspoofchk: false });
      await call(subject, 'ADD', unchecked, { containerID: 'free', netns: free });
      const { mac, name } = result.interfaces![2]!;
      assert.equal(name, 'eth0');
      assert.ok(rules().includes(mac!));
      assert.ok(reachesGateway(a));
      setMac(a, '02:00:00:00:00:99');
      assert.ok(!reachesGateway(a));
      assert.ok(reachesGateway(b));
      setMac(a, mac!);
      assert.ok(reachesGateway(a));
      setMac(free, '02:00:00:00:00:98');
      assert.ok(reachesGateway(free));
    });

    test('the rules go with the pod, and those of others stay', async () => {
      using world = new World();
      const config = configOf(world);
      const [a, b] = [
        { containerID: 'a', netns: world.netns('a') },
        { containerID: 'b', netns: world.netns('b') },
      ];
      const resultA = await call(subject, 'ADD', config, a);
      const resultB = await call(subject, 'ADD', config, b);
      await call(subject, 'DEL', config, { ...a, prevResult: resultA });
      assert.ok(!rules().includes(resultA.interfaces![2]!.mac!));
      assert.ok(rules().includes(resultB.interfaces![2]!.mac!));
      setMac(b.netns, '02:00:00:00:00:99');
      assert.ok(!reachesGateway(b.netns));
      await call(subject, 'DEL', config, { ...b, prevResult: resultB });
      assert.doesNotMatch(rules(), /veth/);
      await call(subject, 'DEL', config, { ...b, prevResult: resultB });
    });

    if (subject.isOurs) oursOnly(subject);
  });
}

/** Owners, CHECK and GC; the reference has none of them for these rules. */
function oursOnly(subject: Subject): void {
  test('DEL finds them without a result, and with a hardware address that another plugin changed', async () => {
    using world = new World();
    const config = configOf(world);
    const netns = world.netns('a');
    await call(subject, 'ADD', config, { netns });
    assert.match(rules(), /comment "cni testnet c1\/eth0"/);
    await call(subject, 'DEL', config, { netns: '' });
    assert.doesNotMatch(rules(), /veth/);
    const prevResult = await call(subject, 'ADD', config, { netns });
    prevResult.interfaces![2]!.mac = '02:00:00:00:00:99';
    await call(subject, 'DEL', config, { netns, prevResult });
    assert.doesNotMatch(rules(), /veth/);
  });

  test('CHECK sees it when they are gone', async () => {
    using world = new World();
    const config = configOf(world);
    const netns = world.netns('a');
    const prevResult = await call(subject, 'ADD', config, { netns });
    await call(subject, 'CHECK', config, { netns, prevResult });
    run('nft', 'flush', 'chain', 'bridge', 'amphipod_macspoofchk', 'prerouting');
    const noRules = await failureOf(call(subject, 'CHECK', config, { netns, prevResult }));
    assert.match(noRules.message, /MAC spoof check of .* on veth.* not found/);
    assert.equal(noRules.number, 100);
    run('nft', 'delete', 'table', 'bridge', 'amphipod_macspoofchk');
    await failureOf(call(subject, 'CHECK', config, { netns, prevResult }));
    // The next pod brings the table back, its own elements in it.
    const b = { containerID: 'b', netns: world.netns('b') };
    await call(subject, 'CHECK', config, { ...b, prevResult: await call(subject, 'ADD', config, b) });
    await call(subject, 'DEL', config, { netns, prevResult });
  });

  test('GC removes those without an owner, and the table with the last', async () => {
    using world = new World();
    const config = configOf(world);
    const keep = { containerID: 'keep', netns: world.netns('a') };
    const prevResult = await call(subject, 'ADD', config, keep);
    await call(subject, 'ADD', config, { containerID: 'lost', netns: world.netns('b') });
    await call(subject, 'GC', config, { validAttachments: [{ containerID: 'keep', ifName: 'eth0' }] });
    assert.doesNotMatch(rules(), /lost/);
    await call(subject, 'CHECK', config, { ...keep, prevResult });
    await call(subject, 'GC', config, { validAttachments: [] });
    assert.equal(rules(), '');
  });

  test('what an earlier owner of the port left does not let its address through', async () => {
    using world = new World();
    const config = configOf(world);
    const netns = world.netns('a');
    const first = await call(subject, 'ADD', config, { netns });
    const oldMac = first.interfaces![2]!.mac!;
    // Gone without a DEL, as after a crash.
    run('ip', 'link', 'del', first.interfaces![1]!.name);
    const withoutIpam = { ...config, ipam: { ...config.ipam!, dataDir: world.makeDir('other') } };
    const second = await call(subject, 'ADD', withoutIpam, { netns });
    assert.notEqual(second.interfaces![2]!.mac, oldMac);
    assert.ok(!rules().includes(oldMac));
    await call(subject, 'CHECK', withoutIpam, { netns, prevResult: second });
  });

  test('a failed ADD leaves none', async () => {
    using world = new World();
    const config = configOf(world, { ipam: { type: 'no-such-ipam' } });
    await failureOf(call(subject, 'ADD', config, { netns: world.netns('a') }));
    assert.doesNotMatch(rules(), /veth/);
  });
}
