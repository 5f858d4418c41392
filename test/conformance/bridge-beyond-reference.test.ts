import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bridgeConfig } from './lib/configs.ts';
import { type Subject, subjects } from './lib/subjects.ts';
import { call, failureOf, link, linkNames, run, World } from './lib/world.ts';

for (const subject of subjects) {
  describe(`bridge beyond the reference, ${subject.name}`, () => {
    oursOnly(subject);
  });
}

/** Where we do better than the reference; docs/plugins/bridge.md names these differences. */
function oursOnly(subject: Subject): void {
  const skip = subject.isOurs ? false : 'the reference leaves things behind or touches those of others';

  test('a failed ADD leaves nothing (CNI-09)', { skip }, async () => {
    using world = new World();
    const before = linkNames();
    const full = {
      type: 'host-local',
      subnet: '10.99.0.0/29',
      rangeStart: '10.99.0.2',
      rangeEnd: '10.99.0.2',
      dataDir: world.dataDir,
    };
    const config = bridgeConfig(world, { ipam: full });
    const first = { containerID: 'a', netns: world.netns('a') };
    const prevResult = await call(subject, 'ADD', config, first);
    const netns = world.netns('b');
    const error = await failureOf(call(subject, 'ADD', config, { containerID: 'b', netns }));
    assert.match(
      error.message,
      /failed to allocate for range 0: no IP addresses available in range set: 10\.99\.0\.2-10\.99\.0\.2/,
    );
    assert.equal(link('eth0', netns), undefined);
    await call(subject, 'CHECK', config, { ...first, prevResult });
    await call(subject, 'DEL', config, { ...first, prevResult });
    run('ip', 'link', 'del', 'tb0');
    assert.deepEqual(linkNames(), before);

    await failureOf(call(subject, 'ADD', bridgeConfig(world, { ipam: { type: 'no-such-ipam' } }), { netns }));
    await failureOf(call(subject, 'ADD', bridgeConfig(world), { netns: '/no/such/netns' }));
    assert.deepEqual(linkNames(), before);
    assert.deepEqual(world.reservations('testnet'), []);
  });

  test('a second ADD is an error and changes nothing (CNI-03)', { skip }, async () => {
    using world = new World();
    const config = bridgeConfig(world);
    const netns = world.netns('a');
    const prevResult = await call(subject, 'ADD', config, { netns });
    const before = linkNames();
    const error = await failureOf(call(subject, 'ADD', config, { netns }));
    assert.match(error.message, /already exists/);
    assert.deepEqual(linkNames(), before);
    assert.deepEqual(world.reservations('testnet'), ['10.99.0.2']);
    await call(subject, 'CHECK', config, { netns, prevResult });
    const second = await call(subject, 'ADD', config, { netns, ifName: 'net1' });
    await call(subject, 'DEL', config, { netns, ifName: 'net1', prevResult: second });
    await call(subject, 'CHECK', config, { netns, prevResult });
  });

  test('a late DEL does not touch the new owner of the namespace', { skip }, async () => {
    using world = new World();
    const config = bridgeConfig(world, { ipMasq: true });
    const netns = world.netns('a');
    const old = {
      containerID: 'old',
      netns,
      prevResult: await call(subject, 'ADD', config, { containerID: 'old', netns }),
    };
    await call(subject, 'DEL', config, old);
    const ipam = { ...config.ipam!, rangeStart: '10.99.0.2', rangeEnd: '10.99.0.2' };
    const prevResult = await call(subject, 'ADD', { ...config, ipam }, { containerID: 'new', netns });
    assert.equal(prevResult.ips![0]!.address, old.prevResult.ips![0]!.address);
    await call(subject, 'DEL', config, old);
    await call(subject, 'CHECK', { ...config, ipam }, { containerID: 'new', netns, prevResult });
  });

  test('what is made carries its owner, and GC removes what has none', { skip }, async () => {
    using world = new World();
    const config = bridgeConfig(world, { ipMasq: true });
    const keep = { containerID: 'keep', netns: world.netns('a') };
    const lost = { containerID: 'lost', netns: world.netns('b') };
    const prevResult = await call(subject, 'ADD', config, keep);
    const gone = await call(subject, 'ADD', config, lost);
    assert.equal(link(gone.interfaces![1]!.name)!.ifalias, 'cni testnet lost/eth0');
    await call(subject, 'GC', config, { validAttachments: [{ containerID: 'keep', ifName: 'eth0' }] });
    assert.equal(link(gone.interfaces![1]!.name), undefined);
    assert.deepEqual(world.reservations('testnet'), ['10.99.0.2']);
    assert.doesNotMatch(run('nft', 'list', 'ruleset'), /lost/);
    await call(subject, 'CHECK', config, { ...keep, prevResult });
  });

  test('port isolation', { skip }, async () => {
    using world = new World();
    const result = await call(subject, 'ADD', bridgeConfig(world, { portIsolation: true }), {
      netns: world.netns('a'),
    });
    assert.equal(link(result.interfaces![1]!.name)!.linkinfo!.info_slave_data!.isolated, true);
  });

  test('values that are wrong are named, with code 7', { skip }, async () => {
    using world = new World();
    const netns = world.netns('a');
    const wrong: [object, string][] = [
      [{ ipMasqBackend: 'pf' }, 'unknown ipmasq backend "pf"'],
      [{ mtu: 'big' }, 'key "mtu": got "big", want an integer from 0 to 65535'],
      [{ vlan: 4095 }, 'invalid VLAN ID 4095 (must be between 0 and 4094)'],
    ];
    for (const [keys, message] of wrong) {
      const error = await failureOf(call(subject, 'ADD', bridgeConfig(world, keys), { netns }));
      assert.deepEqual([error.number, error.msg], [7, message]);
    }
  });
}
