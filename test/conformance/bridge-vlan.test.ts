import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Result } from '@amphipod/cni';
import { lacksVlanFiltering } from './lib/requirements.ts';
import { type Subject, subjects } from './lib/subjects.ts';
import { addresses, type Config, call, failureOf, inPod, link, links, run, World } from './lib/world.ts';

/** `1 PVID Egress Untagged`, for each VLAN of a port or bridge. */
function vlans(device: string): string[] {
  const found = JSON.parse(run('bridge', '-j', 'vlan', 'show')) as {
    ifname: string;
    vlans: { vlan: number; vlanEnd?: number; flags?: string[] }[];
  }[];
  return (found.find(({ ifname }) => ifname === device)?.vlans ?? []).map(({ vlan, vlanEnd, flags = [] }) =>
    [vlanEnd === undefined ? vlan : `${vlan}-${vlanEnd}`, ...flags].join(' '),
  );
}

const noFiltering = lacksVlanFiltering();

function configOf(world: World, more: object = {}, subnet = '10.99.0.0/24'): Config {
  return {
    type: 'bridge',
    bridge: 'tb0',
    ipam: { type: 'host-local', subnet, dataDir: world.dataDir },
    ...more,
  };
}

function hostEndOf(result: Result): string {
  return result.interfaces![1]!.name;
}

function ping(netns: string, target: string): boolean {
  try {
    inPod(netns, 'busybox', 'ping', '-c', '1', '-w', '2', target);
    return true;
  } catch {
    return false;
  }
}

/** Gives a pod an interface in a VLAN that it tags itself. */
function tagged(netns: string, vlanId: number, address: string): void {
  const enter = (...words: string[]) => inPod(netns, ...words);
  enter('ip', 'link', 'add', 'link', 'eth0', 'name', `eth0.${vlanId}`, 'type', 'vlan', 'id', `${vlanId}`);
  enter('ip', 'address', 'add', address, 'dev', `eth0.${vlanId}`);
  enter('ip', 'link', 'set', `eth0.${vlanId}`, 'up');
}

for (const subject of subjects) {
  describe(`bridge with VLANs, ${subject.name}`, () => {
    test('a kernel without VLAN filtering', {
      skip: noFiltering === false && 'this kernel has it',
    }, async () => {
      using world = new World();
      for (const more of [{ vlan: 100 }, { vlanTrunk: [{ id: 5 }] }].slice(0, subject.isOurs ? 2 : 1)) {
        const error = await failureOf(
          call(subject, 'ADD', configOf(world, more), { netns: world.netns(`n${Object.keys(more)}`) }),
        );
        assert.match(error.message, /could not add "tb0": operation not supported/);
      }
      assert.equal(link('tb0'), undefined);
    });

    test('the gateway is on an interface of its own', { skip: noFiltering }, async () => {
      using world = new World();
      const netns = world.netns('a');
      const config = configOf(world, { vlan: 100, isGateway: true });
      const result = await call(subject, 'ADD', config, { netns });
      assert.deepEqual(
        result.interfaces!.map(({ name }) => name.replace(/^veth.*/, 'VETH')),
        ['tb0', 'VETH', 'eth0', 'tb0.100'],
      );
      assert.equal(result.interfaces![3]!.mac, link('tb0.100')!.address);
      assert.equal(result.interfaces![0]!.mac, link('tb0')!.address);
      assert.deepEqual(addresses('tb0.100'), ['10.99.0.1/24']);
      assert.deepEqual(addresses('tb0'), []);
      assert.ok(vlans(hostEndOf(result)).includes('100 PVID Egress Untagged'));
      assert.ok(ping(netns, '10.99.0.1'));
      await call(subject, 'CHECK', config, { netns, prevResult: result });
      const other = { containerID: 'b', netns: world.netns('b') };
      const second = await call(subject, 'ADD', config, other);
      assert.ok(ping(netns, second.ips![0]!.address.split('/')[0]!));
      await call(subject, 'DEL', config, { netns, prevResult: result });
      // The reference's bridge has the lowest address of its ports, which may have gone with the first one.
      if (subject.isOurs) await call(subject, 'CHECK', config, { ...other, prevResult: second });
      await call(subject, 'DEL', config, { ...other, prevResult: second });
      assert.deepEqual(world.reservations('testnet'), []);
    });

    test('pods of two VLANs do not reach one another', { skip: noFiltering }, async () => {
      using world = new World();
      const pods = ['a', 'b', 'c'].map((containerID) => ({ containerID, netns: world.netns(containerID) }));
      const [a, b, c] = pods as [(typeof pods)[0], (typeof pods)[0], (typeof pods)[0]];
      await call(subject, 'ADD', configOf(world, { vlan: 100 }), a);
      const sameVlan = await call(subject, 'ADD', configOf(world, { vlan: 100 }), b);
      const otherVlan = await call(subject, 'ADD', configOf(world, { vlan: 200 }), c);
      assert.ok(ping(a.netns, sameVlan.ips![0]!.address.split('/')[0]!));
      assert.ok(!ping(a.netns, otherVlan.ips![0]!.address.split('/')[0]!));
    });

    if (subject.isOurs) oursOnly(subject);
  });
}

/** What Debian's reference (1.1.1) has not: trunks, ports without the default VLAN, clean-up. */
function oursOnly(subject: Subject): void {
  test('the port carries its VLAN only, untagged (NET-15)', { skip: noFiltering }, async () => {
    using world = new World();
    const [a, b] = [world.netns('a'), world.netns('b')];
    const config = configOf(world, { vlan: 100, isGateway: true });
    const result = await call(subject, 'ADD', config, { netns: a });
    assert.deepEqual(vlans(hostEndOf(result)), ['100 PVID Egress Untagged']);
    assert.deepEqual(vlans('tb0'), ['1 PVID Egress Untagged', '100']);

    // A pod of VLAN 1 is not reached, untagged or with a tag.
    const plain = await call(subject, 'ADD', configOf(world, { name: 'plain' }, '10.98.0.0/24'), {
      containerID: 'b',
      netns: b,
    });
    assert.deepEqual(vlans(hostEndOf(plain)), ['1 PVID Egress Untagged']);
    tagged(a, 1, '10.98.0.99/24');
    assert.ok(!ping(a, '10.98.0.2'));
    inPod(a, 'ip', 'link', 'del', 'eth0.1');
    inPod(a, 'ip', 'address', 'add', '10.98.0.99/24', 'dev', 'eth0');
    assert.ok(!ping(a, '10.98.0.2'));
    // The counter-check: on a port of VLAN 1 the same address is an answering one.
    const c = world.netns('c');
    await call(subject, 'ADD', configOf(world, { name: 'plain' }, '10.98.0.0/24'), {
      containerID: 'c',
      netns: c,
    });
    assert.ok(ping(c, '10.98.0.2'));
  });

  test('preserveDefaultVlan keeps VLAN 1 beside it', { skip: noFiltering }, async () => {
    using world = new World();
    const netns = world.netns('a');
    const config = configOf(world, { vlan: 100, preserveDefaultVlan: true });
    const result = await call(subject, 'ADD', config, { netns });
    assert.deepEqual(vlans(hostEndOf(result)), ['1 Egress Untagged', '100 PVID Egress Untagged']);
    await call(subject, 'CHECK', config, { netns, prevResult: result });
  });

  test('vlan 1 is an ordinary one', { skip: noFiltering }, async () => {
    using world = new World();
    const result = await call(subject, 'ADD', configOf(world, { vlan: 1 }), { netns: world.netns('a') });
    assert.deepEqual(vlans(hostEndOf(result)), ['1 PVID Egress Untagged']);
  });

  test('trunks', { skip: noFiltering }, async () => {
    using world = new World();
    const [a, b] = [world.netns('a'), world.netns('b')];
    const vlanTrunk = [{ id: 101 }, { minID: 200, maxID: 203 }, { id: 202 }];
    const trunk = configOf(world, { vlanTrunk });
    const result = await call(subject, 'ADD', trunk, { netns: a });
    const tags = ['101', '200', '201', '202', '203'];
    assert.deepEqual(vlans(hostEndOf(result)), ['1 PVID Egress Untagged', ...tags]);
    await call(subject, 'CHECK', trunk, { netns: a, prevResult: result });
    const access = await call(subject, 'ADD', configOf(world, { name: 'acc', vlan: 101 }, '10.98.0.0/24'), {
      containerID: 'b',
      netns: b,
    });
    tagged(a, 101, '10.98.0.99/24');
    assert.ok(ping(a, access.ips![0]!.address.split('/')[0]!));

    // A VLAN of its own that is in the trunk too stays the untagged one.
    const native = configOf(world, { vlan: 101, vlanTrunk });
    const nativeResult = await call(subject, 'ADD', native, { containerID: 'c', netns: world.netns('c') });
    assert.deepEqual(vlans(hostEndOf(nativeResult)), [
      '101 PVID Egress Untagged',
      '200',
      '201',
      '202',
      '203',
    ]);
    const nothing = configOf(world, { vlanTrunk: [] });
    const nothingResult = await call(subject, 'ADD', nothing, { containerID: 'd', netns: world.netns('d') });
    assert.deepEqual(vlans(hostEndOf(nothingResult)), ['1 PVID Egress Untagged']);
  });

  test('both families behind the gateway of a VLAN', { skip: noFiltering }, async () => {
    using world = new World();
    const netns = world.netns('a');
    const ipam = {
      type: 'host-local',
      ranges: [[{ subnet: '10.99.0.0/24' }], [{ subnet: 'fd00:99::/64' }]],
      routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
      dataDir: world.dataDir,
    };
    const config = configOf(world, { vlan: 7, isDefaultGateway: true, ipam });
    const prevResult = await call(subject, 'ADD', config, { netns });
    assert.deepEqual(addresses('tb0.7'), ['10.99.0.1/24', 'fd00:99::1/64']);
    assert.ok(ping(netns, 'fd00:99::1'));
    assert.doesNotMatch(run('ip', '-6', 'address', 'show', 'dev', 'tb0.7'), /tentative/);
    await call(subject, 'CHECK', config, { netns, prevResult });
  });

  test('a bridge that is there starts to filter', { skip: noFiltering }, async () => {
    using world = new World();
    await call(subject, 'ADD', configOf(world, { isGateway: true }), {
      containerID: 'plain',
      netns: world.netns('plain'),
    });
    const bad = configOf(world, { vlan: 100, isGateway: true, ipam: { type: 'no-such-ipam' } });
    await failureOf(call(subject, 'ADD', bad, { netns: world.netns('bad') }));
    const isFiltering = () => /vlan_filtering 1/.test(run('ip', '-d', 'link', 'show', 'tb0'));
    assert.equal(isFiltering(), false);
    assert.equal(link('tb0.100'), undefined);
    assert.deepEqual(vlans('tb0'), ['1 PVID Egress Untagged']);
    const config = configOf(world, { name: 'tagged', vlan: 100, isGateway: true }, '10.98.0.0/24');
    await call(subject, 'ADD', config, { netns: world.netns('a') });
    assert.equal(isFiltering(), true);
    assert.ok(ping(`${world.dir}/plain`, '10.99.0.1'));
  });

  test('a failed ADD leaves nothing, and nothing of others is taken (CNI-09)', {
    skip: noFiltering,
  }, async () => {
    using world = new World();
    const bad = configOf(world, { vlan: 100, isGateway: true, ipam: { type: 'no-such-ipam' } });
    await failureOf(call(subject, 'ADD', bad, { netns: world.netns('bad') }));
    assert.deepEqual(
      links().map(({ ifname }) => ifname),
      ['lo'],
    );
    const config = configOf(world, { vlan: 100, isGateway: true });
    const good = { containerID: 'good', netns: world.netns('good') };
    const prevResult = await call(subject, 'ADD', config, good);
    await failureOf(call(subject, 'ADD', bad, { containerID: 'bad', netns: world.netns('bad2') }));
    await call(subject, 'CHECK', config, { ...good, prevResult });
    run('ip', 'link', 'add', 'tb0.55', 'type', 'dummy');
    const error = await failureOf(
      call(subject, 'ADD', configOf(world, { vlan: 55, isGateway: true }), {
        containerID: 'c',
        netns: world.netns('c'),
      }),
    );
    assert.match(error.message, /"tb0\.55" already exists but is not VLAN 55 of "tb0"/);
    const long = configOf(world, { bridge: 'bridge-12345678', vlan: 100, isGateway: true });
    const tooLong = await failureOf(
      call(subject, 'ADD', long, { containerID: 'd', netns: world.netns('d') }),
    );
    assert.match(tooLong.message, /"bridge-12345678\.100".*at most 15/);
    assert.equal(link('bridge-12345678'), undefined);
  });

  test('CHECK fails for each thing that is broken', { skip: noFiltering }, async () => {
    using world = new World();
    const config = configOf(world, { vlan: 100, vlanTrunk: [{ minID: 10, maxID: 12 }], isGateway: true });
    const pod = { netns: world.netns('a') };
    const prevResult = await call(subject, 'ADD', config, pod);
    const port = hostEndOf(prevResult);
    const breaks: [string[], string[], RegExp][] = [
      [
        ['vlan', 'del', 'vid', '100'],
        ['vlan', 'add', 'vid', '100', 'pvid', 'untagged'],
        /VLAN 100 for untagged/,
      ],
      [['vlan', 'del', 'vid', '11'], ['vlan', 'add', 'vid', '11'], /lacks VLAN 11/],
      [['vlan', 'add', 'vid', '300'], ['vlan', 'del', 'vid', '300'], /has VLAN 300, which it should not/],
    ];
    const vlanCommand = ([object, verb, ...rest]: string[]) =>
      run('bridge', object!, verb!, 'dev', port, ...rest);
    for (const [breakIt, mend, message] of breaks) {
      vlanCommand(breakIt);
      const error = await failureOf(call(subject, 'CHECK', config, { ...pod, prevResult }));
      assert.match(error.message, message);
      assert.equal(error.number, 100);
      vlanCommand(mend);
      await call(subject, 'CHECK', config, { ...pod, prevResult });
    }
    run('ip', 'link', 'set', 'tb0', 'type', 'bridge', 'vlan_filtering', '0');
    const off = await failureOf(call(subject, 'CHECK', config, { ...pod, prevResult }));
    assert.match(off.message, /bridge tb0 does not filter VLANs/);
    run('ip', 'link', 'set', 'tb0', 'type', 'bridge', 'vlan_filtering', '1');
    run('ip', 'link', 'del', 'tb0.100');
    const gone = await failureOf(call(subject, 'CHECK', config, { ...pod, prevResult }));
    assert.match(gone.message, /vlan interface tb0\.100 not found/);
    // The next pod brings it back.
    await call(subject, 'ADD', config, { containerID: 'next', netns: world.netns('next') });
    await call(subject, 'CHECK', config, { ...pod, prevResult });
  });

  test('ten pods at once in a VLAN that is not there yet (NET-06)', { skip: noFiltering }, async () => {
    using world = new World();
    const config = configOf(world, { vlan: 100, isGateway: true });
    const pods = Array.from({ length: subject.isExecutable ? 3 : 10 }, (_, i) => ({
      containerID: `c${i}`,
      netns: world.netns(`n${i}`),
    }));
    const results = await Promise.all(pods.map((pod) => call(subject, 'ADD', config, pod)));
    assert.deepEqual(addresses('tb0.100'), ['10.99.0.1/24']);
    for (const [i, pod] of pods.entries()) {
      await call(subject, 'CHECK', config, { ...pod, prevResult: results[i] });
      assert.ok(ping(pod.netns, '10.99.0.1'));
    }
  });
}
