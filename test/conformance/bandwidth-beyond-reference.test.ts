import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { attach, bridgeOf, limits, qdiscs, shaping } from './lib/bandwidth.ts';
import { type Subject, subjects } from './lib/subjects.ts';
import { call, failureOf, link, links, run, World } from './lib/world.ts';

for (const subject of subjects) {
  describe(`bandwidth beyond the reference, ${subject.name}`, () => {
    oursOnly(subject);
  });
}

/** Where we do better than the reference; docs/plugins/bandwidth.md names these differences. */
function oursOnly(subject: Subject): void {
  const skip = subject.isOurs ? false : 'the reference leaves things behind or touches those of others';

  test('GC removes the ifb that has no owner any more, and no other (NET-15)', { skip }, async () => {
    using world = new World();
    const keep = await attach(subject, world, 'keep');
    const lost = await attach(subject, world, 'lost');
    const kept = await call(subject, 'ADD', shaping, keep.pod);
    const gone = (await call(subject, 'ADD', shaping, lost.pod)).interfaces!.at(-1)!.name;
    assert.equal(link(gone)!.ifalias, 'cni testnet lost/eth0');
    run('ip', 'link', 'add', 'foreign0', 'type', 'ifb');
    const validAttachments = [{ containerID: 'keep', ifName: 'eth0' }];
    await call(subject, 'GC', { ...shaping, name: 'othernet' }, { validAttachments: [] });
    assert.ok(link(gone) !== undefined);
    await call(subject, 'GC', shaping, { validAttachments });
    assert.equal(link(gone), undefined);
    assert.ok(link('foreign0') !== undefined);
    await call(subject, 'CHECK', shaping, { ...keep.pod, prevResult: kept });
  });

  test('two interfaces of a container in one network, and a late DEL of one', { skip }, async () => {
    using world = new World();
    const { pod } = await attach(subject, world);
    const first = await call(subject, 'ADD', shaping, pod);
    const { netns } = pod;
    const more = { ...pod, ifName: 'net1', prevResult: undefined };
    const bridged = await call(subject, 'ADD', bridgeOf(world), more);
    const second = await call(subject, 'ADD', shaping, { ...more, prevResult: bridged });
    const names = [first, second].map(({ interfaces }) => interfaces!.at(-1)!.name);
    assert.notEqual(names[0], names[1]);
    for (const name of names) assert.match(name, /^bwp[0-9a-f]{12}$/);
    await call(subject, 'DEL', shaping, { netns, prevResult: first });
    await call(subject, 'DEL', shaping, { netns, prevResult: first });
    await call(subject, 'CHECK', shaping, { ...more, prevResult: second });
    await call(subject, 'DEL', shaping, { ...more, prevResult: second });
    assert.equal(link(names[1]!), undefined);
  });

  test('a failed ADD leaves pair and links as they were (CNI-04)', { skip }, async () => {
    using world = new World();
    const { pod, hostEnd } = await attach(subject, world);
    // In the way of the last step but two.
    run('tc', 'qdisc', 'add', 'dev', hostEnd, 'ingress');
    const before = links().length;
    const error = await failureOf(call(subject, 'ADD', shaping, pod));
    assert.match(error.message, /EEXIST/);
    assert.equal(links().length, before);
    assert.deepEqual(
      qdiscs(hostEnd).map(({ kind }) => kind),
      ['ingress'],
    );
  });

  test('a second ADD is an error and changes nothing (CNI-03)', { skip }, async () => {
    using world = new World();
    const { pod } = await attach(subject, world);
    const { egressRate, egressBurst } = limits;
    for (const config of [shaping, { type: 'bandwidth', egressRate, egressBurst }]) {
      const prevResult = await call(subject, 'ADD', config, pod);
      await failureOf(call(subject, 'ADD', config, pod));
      await call(subject, 'CHECK', config, { ...pod, prevResult });
      await call(subject, 'DEL', config, { ...pod, prevResult });
      const hostEnd = pod.prevResult.interfaces![1]!.name;
      run('tc', 'qdisc', 'del', 'dev', hostEnd, 'ingress');
      if (qdiscs(hostEnd).length > 0) run('tc', 'qdisc', 'del', 'dev', hostEnd, 'root');
    }
  });

  test('limits for some subnets, or for all but some', { skip }, async () => {
    using world = new World();
    for (const [key, defaultClass, flow] of [
      ['shapedSubnets', '0x1', '1:30'],
      ['unshapedSubnets', '0x30', '1:1'],
    ] as const) {
      const { pod, hostEnd } = await attach(subject, world, key);
      const config = { ...shaping, [key]: ['10.1.0.0/16', 'fd00:1::/48'] };
      const result = await call(subject, 'ADD', config, pod);
      const ifb = result.interfaces!.at(-1)!.name;
      for (const [device, offset] of [
        [hostEnd, 12],
        [ifb, 16],
      ] as const) {
        assert.match(
          run('tc', 'qdisc', 'show', 'dev', device),
          new RegExp(`htb 1: root .*default ${defaultClass}`),
        );
        const filters = run('tc', 'filter', 'show', 'dev', device, 'parent', '1:');
        assert.match(filters, new RegExp(`protocol ip pref 16 u32 .*flowid ${flow}`));
        assert.match(filters, new RegExp(`match 0a010000/ffff0000 at ${offset}`));
        assert.match(filters, /protocol ipv6 pref 15 u32 [\s\S]*match fd000001\/ffffffff at/);
      }
      assert.match(run('tc', 'class', 'show', 'dev', hostEnd), /htb 1:30 root .*rate 8Mbit ceil 8Mbit/);
      await call(subject, 'CHECK', config, { ...pod, prevResult: result });
      run('tc', 'filter', 'del', 'dev', ifb, 'parent', '1:', 'prio', '16');
      const error = await failureOf(call(subject, 'CHECK', config, { ...pod, prevResult: result }));
      assert.equal(error.number, 100);
      await call(subject, 'DEL', config, { ...pod, prevResult: result });
    }
    const { pod } = await attach(subject, world, 'wrong');
    const failure = async (more: object) =>
      (await failureOf(call(subject, 'ADD', { ...shaping, ...more }, pod))).message;
    assert.match(
      await failure({ shapedSubnets: ['10.0.0.0/8'], unshapedSubnets: ['10.1.0.0/16'] }),
      /unshapedSubnets and shapedSubnets cannot be both specified/,
    );
    assert.match(await failure({ shapedSubnets: ['10.0.0.0'] }), /bad subnet "10\.0\.0\.0" provided/);
  });
}
