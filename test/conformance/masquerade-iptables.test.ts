import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { describe, test } from 'node:test';
import { iptablesRules } from './lib/iptables.ts';
import { subjects } from './lib/subjects.ts';
import { type Config, call, failureOf, run, World } from './lib/world.ts';

/** The reference knows iptables only and passes over `ipMasqBackend`. */
function configOf(world: World, more: object = { ipMasqBackend: 'iptables' }): Config {
  const ranges = [[{ subnet: '10.99.0.0/24' }], [{ subnet: 'fd00:99::/64' }]];
  const ipam = { type: 'host-local', ranges, dataDir: world.dataDir };
  return { type: 'bridge', bridge: 'tb0', isGateway: true, ipMasq: true, ipam, ...more };
}

const [inProcess] = subjects;
const reference = subjects.find(({ isOurs }) => !isOurs);
const ownSubjects = subjects.filter(({ isOurs }) => isOurs);

for (const subject of subjects) {
  describe(`ipMasq with iptables, ${subject.name}`, () => {
    test('makes the chains of the reference, CHECK sees each rule, DEL takes all of them', async () => {
      using world = new World();
      const config = configOf(world);
      const pod = { containerID: 'poda', netns: world.netns('a') };
      const prevResult = await call(subject, 'ADD', config, pod);
      const comment = '-m comment --comment "name: \\"testnet\\" id: \\"poda\\""';
      const chain = 'CNI-a1d105e7cc23dab3b3a0f151';
      assert.deepEqual(iptablesRules('nat'), [
        `:${chain} - [0:0]`,
        `-A POSTROUTING -s 10.99.0.2/32 ${comment} -j ${chain}`,
        `-A ${chain} -d 10.99.0.0/24 ${comment} -j ACCEPT`,
        `-A ${chain} ! -d 224.0.0.0/4 ${comment} -j MASQUERADE`,
        `:${chain} - [0:0]`,
        `-A POSTROUTING -s fd00:99::2/128 ${comment} -j ${chain}`,
        `-A ${chain} -d fd00:99::/64 ${comment} -j ACCEPT`,
        `-A ${chain} ! -d ff00::/8 ${comment} -j MASQUERADE`,
      ]);
      await call(subject, 'CHECK', config, { ...pod, prevResult });
      await call(subject, 'DEL', config, { ...pod, prevResult });
      assert.deepEqual(iptablesRules('nat'), []);
      await call(subject, 'DEL', config, { ...pod, prevResult });
    });

    test('rules that a flush took: DEL is content (NET-10)', async () => {
      using world = new World();
      const config = configOf(world);
      const pod = { containerID: 'poda', netns: world.netns('a') };
      const prevResult = await call(subject, 'ADD', config, pod);
      run('iptables', '-t', 'nat', '-F');
      if (subject.isOurs) {
        assert.match(
          (await failureOf(call(subject, 'CHECK', config, { ...pod, prevResult }))).message,
          /masquerade rule for 10\.99\.0\.2\/24 not found/,
        );
      }
      await call(subject, 'DEL', config, { ...pod, prevResult });
      assert.deepEqual(iptablesRules('nat'), []);
    });
  });
}

for (const subject of ownSubjects) {
  describe(`ipMasq with iptables, ${subject.name}, beyond the reference`, () => {
    test('DEL without namespace and without result takes the rules away (CNI-08)', async () => {
      using world = new World();
      const config = configOf(world);
      await call(subject, 'ADD', config, { containerID: 'poda', netns: world.netns('a') });
      await call(subject, 'ADD', config, { containerID: 'podb', netns: world.netns('b') });
      await call(subject, 'DEL', config, { containerID: 'poda' });
      assert.ok(!iptablesRules('nat').some((line) => line.includes('poda')));
      assert.equal(iptablesRules('nat').filter((line) => line.includes('podb')).length, 6);
    });

    test('an ADD that was cut off: the next one of this container completes it, DEL takes all', async () => {
      using world = new World();
      const config = configOf(world);
      const pod = { containerID: 'poda', netns: world.netns('a') };
      run('iptables', '-t', 'nat', '-N', 'CNI-a1d105e7cc23dab3b3a0f151');
      run('iptables', '-t', 'nat', '-A', 'POSTROUTING', '-j', 'CNI-a1d105e7cc23dab3b3a0f151');
      const prevResult = await call(subject, 'ADD', config, pod);
      await call(subject, 'CHECK', config, { ...pod, prevResult });
      run('iptables', '-t', 'nat', '-D', 'POSTROUTING', '-j', 'CNI-a1d105e7cc23dab3b3a0f151');
      await call(subject, 'DEL', config, { ...pod, prevResult });
      assert.deepEqual(iptablesRules('nat'), []);
    });

    test('two interfaces of a container share a chain until the last is gone', async () => {
      using world = new World();
      const config = configOf(world);
      const pod = { containerID: 'poda', netns: world.netns('a') };
      const first = await call(subject, 'ADD', config, { ...pod, ifName: 'eth0' });
      const second = await call(subject, 'ADD', config, { ...pod, ifName: 'eth1' });
      await call(subject, 'DEL', config, { ...pod, ifName: 'eth0', prevResult: first });
      await call(subject, 'CHECK', config, { ...pod, ifName: 'eth1', prevResult: second });
      await call(subject, 'DEL', config, { ...pod, ifName: 'eth1', prevResult: second });
      assert.deepEqual(iptablesRules('nat'), []);
    });

    test('a late DEL leaves the new owner of its address alone', async () => {
      using world = new World();
      const config = configOf(world);
      const a = { containerID: 'poda', netns: world.netns('a') };
      const prevResult = await call(subject, 'ADD', config, a);
      // Its namespace and reservation are gone, its DEL is not through.
      rmSync(world.dataDir, { recursive: true });
      run('ip', 'link', 'del', prevResult.interfaces![1]!.name);
      const b = { containerID: 'podb', netns: world.netns('b') };
      const second = await call(subject, 'ADD', config, b);
      assert.deepEqual(second.ips, prevResult.ips);
      for (const late of [
        { ...a, prevResult },
        { containerID: 'poda', prevResult },
        { containerID: 'poda' },
      ]) {
        await call(subject, 'DEL', config, late);
      }
      assert.ok(!iptablesRules('nat').some((line) => line.includes('poda')));
      await call(subject, 'CHECK', config, { ...b, prevResult: second });
    });

    test('GC takes what no valid attachment of this network has', async () => {
      using world = new World();
      const config = configOf(world);
      const pods = ['a', 'b'].map((name) => ({ containerID: `pod${name}`, netns: world.netns(name) }));
      for (const pod of pods) await call(subject, 'ADD', config, pod);
      const other = {
        ...config,
        name: 'other',
        bridge: 'tb1',
        ipam: { type: 'host-local', subnet: '10.98.0.0/24' },
      };
      await call(subject, 'ADD', other as Config, { containerID: 'podc', netns: world.netns('c') });
      const validAttachments = [{ containerID: 'podb', ifName: 'eth0' }];
      await call(subject, 'GC', config, { validAttachments });
      const left = iptablesRules('nat');
      assert.deepEqual(
        ['poda', 'podb', 'podc'].map((id) => left.filter((line) => line.includes(id)).length),
        [0, 6, 3],
      );
      await call(subject, 'DEL', other as Config, { containerID: 'podc' });
    });

    test('a pod that the reference added is taken away, with no backend named', async () => {
      using world = new World();
      const config = configOf(world, {});
      const pod = { containerID: 'poda', netns: world.netns('a') };
      const prevResult = await call(reference!, 'ADD', config, pod);
      assert.equal(iptablesRules('nat').length, 8);
      await call(subject, 'DEL', config, { ...pod, prevResult });
      assert.deepEqual(iptablesRules('nat'), []);
    });

    test('a backend that is not configured is left alone', async () => {
      using world = new World();
      const pod = { containerID: 'poda', netns: world.netns('a') };
      const prevResult = await call(subject, 'ADD', configOf(world, { ipMasqBackend: 'nftables' }), pod);
      await call(subject, 'DEL', configOf(world, { ipMasqBackend: 'nftables' }), { ...pod, prevResult });
      assert.ok(!run('nft', 'list', 'tables').includes('nat'));
    });
  });
}

test('the reference takes away what we made with iptables', async () => {
  using world = new World();
  const config = configOf(world);
  const pod = { containerID: 'poda', netns: world.netns('a') };
  const prevResult = await call(inProcess!, 'ADD', config, pod);
  await call(reference!, 'DEL', config, { ...pod, prevResult });
  assert.deepEqual(iptablesRules('nat'), []);
});

test('an unknown backend is refused in the words of the reference', async () => {
  using world = new World();
  const config = configOf(world, { ipMasqBackend: 'ebtables' });
  const failure = await failureOf(call(inProcess!, 'ADD', config, { netns: world.netns('a') }));
  assert.match(failure.message, /unknown ipmasq backend "ebtables"/);
});
