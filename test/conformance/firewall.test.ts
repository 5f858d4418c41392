import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Result } from '@amphipod/cni';
import { bridgeConfig } from './lib/configs.ts';
import { iptablesRules } from './lib/iptables.ts';
import { type Subject, subjects } from './lib/subjects.ts';
import { type Config, call, failureOf, inPod, run, World } from './lib/world.ts';

const firewall = (more: object = {}): Config => ({ type: 'firewall', ...more });

/** What a bridge plugin gave; the firewall looks at nothing else. */
function resultOf(number: number, families: readonly (4 | 6)[] = [4, 6]): Result {
  const addresses = { 4: `10.99.0.${number}/24`, 6: `fd00:99::${number}/64` };
  return {
    interfaces: [{ name: 'tb0' }, { name: 'veth0' }, { name: 'eth0', sandbox: '/run/netns/x' }],
    ips: families.map((family) => ({ address: addresses[family], interface: 2 })),
  };
}

const filterRules = () => iptablesRules('filter');

function podLines(number: number): string[] {
  const isOf = new RegExp(` -[sd] (10\\.99\\.0\\.${number}/32|fd00:99::${number}/128) `);
  return filterRules().filter((line) => isOf.test(line));
}

const sharedLines = (admin = 'CNI-ADMIN') => [
  `:${admin} - [0:0]`,
  ':CNI-FORWARD - [0:0]',
  '-A FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD',
  `-A CNI-FORWARD -m comment --comment "CNI firewall plugin admin overrides" -j ${admin}`,
];
const linesOf = (host: string) => [
  `-A CNI-FORWARD -d ${host} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
  `-A CNI-FORWARD -s ${host} -j ACCEPT`,
];

const reference = subjects.find(({ isOurs }) => !isOurs);
/** The reference, and ours with each backend that makes iptables' rules. */
const variants: { name: string; subject: Subject; backend: object }[] = subjects.flatMap((subject) =>
  (subject.isOurs ? [{}, { backend: 'iptables' }] : [{}]).map((backend: { backend?: string }) => ({
    name: `${subject.name}${backend.backend === undefined ? '' : ' with iptables'}`,
    subject,
    backend,
  })),
);

for (const { name, subject, backend } of variants) {
  describe(`firewall, ${name}`, () => {
    test('makes the chains of the reference, and DEL leaves what pods share', async () => {
      using _world = new World();
      const config = firewall(backend);
      const a = { containerID: 'poda', netns: '/dummy', prevResult: resultOf(2) };
      assert.deepEqual(await call(subject, 'ADD', config, a), a.prevResult);
      assert.deepEqual(filterRules(), [
        ...sharedLines(),
        ...linesOf('10.99.0.2/32'),
        ...sharedLines(),
        ...linesOf('fd00:99::2/128'),
      ]);
      await call(subject, 'CHECK', config, a);
      await call(subject, 'DEL', config, a);
      await call(subject, 'DEL', config, a);
      assert.deepEqual(filterRules(), [...sharedLines(), ...sharedLines()]);
    });

    test("the administrator's chain may have another name", async () => {
      using _world = new World();
      const config = firewall({ ...backend, iptablesAdminChainName: 'MY-RULES' });
      const a = { containerID: 'poda', netns: '/dummy', prevResult: resultOf(2, [4]) };
      await call(subject, 'ADD', config, a);
      run('iptables', '-A', 'MY-RULES', '-p', 'tcp', '-j', 'DROP');
      await call(subject, 'ADD', config, { ...a, containerID: 'podb', prevResult: resultOf(3, [4]) });
      const left = ['-A MY-RULES -p tcp -j DROP', ...linesOf('10.99.0.2/32'), ...linesOf('10.99.0.3/32')];
      assert.deepEqual(filterRules().toSorted(), [...sharedLines('MY-RULES'), ...left].toSorted());
      await call(subject, 'CHECK', config, a);
    });

    test("one pod's end leaves the others alone (NET-09)", async () => {
      using _world = new World();
      const config = firewall(backend);
      const pods = [2, 3].map((number) => ({
        containerID: `pod${number}`,
        netns: '/dummy',
        prevResult: resultOf(number),
      }));
      for (const pod of pods) await call(subject, 'ADD', config, pod);
      await call(subject, 'DEL', config, pods[0]);
      assert.deepEqual([podLines(2).length, podLines(3).length], [0, 4]);
      await call(subject, 'CHECK', config, pods[1]);
    });

    test('CHECK tells of each missing rule, DEL is content, the next ADD makes all anew (NET-10)', async () => {
      using _world = new World();
      const config = firewall(backend);
      const a = { containerID: 'poda', netns: '/dummy', prevResult: resultOf(2) };
      await call(subject, 'ADD', config, a);
      const spoils = [
        ['iptables', '-D', ...linesOf('10.99.0.2/32')[1]!.split(' ').slice(1)],
        ['iptables', '-D', 'CNI-FORWARD', '1'],
        ['ip6tables', '-F', 'FORWARD'],
        ['nft', 'flush', 'ruleset'],
      ];
      for (const spoil of spoils) {
        run(spoil[0]!, ...spoil.slice(1));
        const failure = await failureOf(call(subject, 'CHECK', config, a));
        assert.match(failure.message, /not found/, spoil.join(' '));
        await call(subject, 'DEL', config, a);
        await call(subject, 'ADD', config, a);
        await call(subject, 'CHECK', config, a);
      }
      assert.equal(filterRules().length, 2 * 6);
    });

    test('needs a result, and version 0.4.0', async () => {
      const config = firewall(backend);
      const refusal = await failureOf(call(subject, 'ADD', config, { netns: '/dummy' }));
      assert.match(refusal.message, /missing prevResult from earlier plugin/);
      const old = { ...config, cniVersion: '0.3.1' };
      assert.equal((await failureOf(call(subject, 'ADD', old, { netns: '/dummy' }))).number, 1);
      const policy = firewall({ ...backend, ingressPolicy: 'closed' });
      const a = { containerID: 'poda', netns: '/dummy', prevResult: resultOf(2, [4]) };
      assert.match(
        (await failureOf(call(subject, 'ADD', policy, a))).message,
        /unknown ingress policy: "closed"/,
      );
      run('nft', 'flush', 'ruleset');
    });

    test('DEL without a result', async () => {
      using _world = new World();
      const config = firewall(backend);
      await call(subject, 'DEL', config, { containerID: 'poda' });
      const a = { containerID: 'poda', netns: '/dummy', prevResult: resultOf(2) };
      await call(subject, 'ADD', config, a);
      await call(subject, 'DEL', config, { containerID: 'poda' });
      assert.equal(podLines(2).length, subject.isOurs ? 0 : 4);
    });

    test('same-bridge: nothing passes between bridges', async () => {
      using _world = new World();
      const config = firewall({ ...backend, ingressPolicy: 'same-bridge' });
      const a = { containerID: 'poda', netns: '/dummy', prevResult: resultOf(2, [4]) };
      const b = { containerID: 'podb', netns: '/dummy', prevResult: resultOf(3, [4]) };
      await call(subject, 'ADD', config, a);
      await call(subject, 'ADD', config, b);
      // Debian's version names one policy where the newer ones name both.
      const lines = filterRules().map((line) => line.replace('same-bridge|isolated', 'same-bridge'));
      const comment = '-m comment --comment "CNI firewall plugin rules (ingressPolicy: same-bridge)"';
      const stages = [1, 2].map((stage) => `CNI-ISOLATION-STAGE-${stage}`);
      assert.deepEqual(lines, [
        ...sharedLines().slice(0, 2),
        ...stages.map((stage) => `:${stage} - [0:0]`),
        `-A FORWARD ${comment} -j ${stages[0]}`,
        ...sharedLines().slice(2),
        ...linesOf('10.99.0.2/32'),
        ...linesOf('10.99.0.3/32'),
        `-A ${stages[0]} -i tb0 ! -o tb0 ${comment} -j ${stages[1]}`,
        `-A ${stages[0]} ${comment} -j RETURN`,
        `-A ${stages[1]} -o tb0 ${comment} -j DROP`,
        `-A ${stages[1]} ${comment} -j RETURN`,
      ]);
      await call(subject, 'CHECK', config, a);
    });

    test('20 pods at once, in and out again', { timeout: 120_000 }, async () => {
      using _world = new World();
      const config = firewall(backend);
      const pods = Array.from({ length: 20 }, (_, i) => ({
        containerID: `pod${i}`,
        netns: '/dummy',
        prevResult: resultOf(100 + i),
      }));
      await Promise.all(pods.map((pod) => call(subject, 'ADD', config, pod)));
      assert.deepEqual(
        [...Array(20).keys()].map((i) => podLines(100 + i).length),
        Array(20).fill(4),
      );
      if (subject.isOurs)
        assert.equal(filterRules().filter((line) => line.startsWith('-A FORWARD')).length, 2);
      await Promise.all(pods.map((pod) => call(subject, 'DEL', config, pod)));
      assert.equal(filterRules().filter((line) => line.includes('-j ACCEPT')).length, 0);
    });
  });
}

const ownVariants = variants.filter(({ subject }) => subject.isOurs);
for (const { name, subject, backend } of ownVariants) {
  describe(`firewall, ${name}, beyond the reference`, () => {
    test('a late DEL leaves the rules of the new owner of its address', async () => {
      using _world = new World();
      const config = firewall(backend);
      const a = { containerID: 'poda', netns: '/dummy', prevResult: resultOf(2) };
      const b = { ...a, containerID: 'podb' };
      await call(subject, 'ADD', config, a);
      await call(subject, 'ADD', config, b);
      await call(subject, 'DEL', config, a);
      await call(subject, 'DEL', config, a);
      await call(subject, 'DEL', config, { containerID: 'poda' });
      assert.equal(podLines(2).length, 4);
      await call(subject, 'CHECK', config, b);
      await call(subject, 'DEL', config, b);
      assert.deepEqual(podLines(2), []);
    });

    test('GC takes what no valid attachment of this network has', async () => {
      using _world = new World();
      const config = firewall(backend);
      for (const number of [2, 3]) {
        const pod = { containerID: `pod${number}`, netns: '/dummy', prevResult: resultOf(number) };
        await call(subject, 'ADD', config, pod);
      }
      const c = { containerID: 'pod4', netns: '/dummy', prevResult: resultOf(4) };
      await call(subject, 'ADD', { ...config, name: 'other' }, c);
      await call(subject, 'GC', config, { validAttachments: [{ containerID: 'pod3', ifName: 'eth0' }] });
      assert.deepEqual(
        [2, 3, 4].map((number) => podLines(number).length),
        [0, 4, 4],
      );
      await call(subject, 'GC', config, { validAttachments: [] });
      await call(subject, 'GC', { ...config, name: 'other' }, { validAttachments: [] });
      assert.deepEqual(podLines(3), []);
      assert.ok(!run('nft', 'list', 'tables').includes('amphipod_firewall'));
    });

    test('isolated: nor within the bridge, and its chain stays first when FORWARD is put right', async () => {
      using _world = new World();
      const config = firewall({ ...backend, ingressPolicy: 'isolated' });
      const a = { containerID: 'poda', netns: '/dummy', prevResult: resultOf(2, [4]) };
      await call(subject, 'ADD', config, a);
      const comment = '-m comment --comment "CNI firewall plugin rules (ingressPolicy: isolated)"';
      assert.deepEqual(
        filterRules()
          .filter((line) => line.startsWith('-A CNI-ISOLATION-STAGE-1'))
          .slice(0, 2),
        [
          `-A CNI-ISOLATION-STAGE-1 -i tb0 -o tb0 ${comment} -j DROP`,
          `-A CNI-ISOLATION-STAGE-1 -i tb0 ! -o tb0 ${comment} -j CNI-ISOLATION-STAGE-2`,
        ],
      );
      run('iptables', '-D', 'FORWARD', '2');
      assert.match((await failureOf(call(subject, 'CHECK', config, a))).message, /expected FORWARD rule/);
      await call(subject, 'ADD', config, { ...a, containerID: 'podb', prevResult: resultOf(3, [4]) });
      assert.deepEqual(
        filterRules()
          .filter((line) => line.startsWith('-A FORWARD'))
          .map((line) => line.split(' ').at(-1)),
        ['CNI-ISOLATION-STAGE-1', 'CNI-FORWARD'],
      );
      await call(subject, 'CHECK', config, a);
    });

    test('the reference takes away what we made, and we what it made', async () => {
      using _world = new World();
      const config = firewall(backend);
      const a = { containerID: 'poda', netns: '/dummy', prevResult: resultOf(2) };
      await call(subject, 'ADD', config, a);
      await call(reference!, 'CHECK', config, a);
      await call(reference!, 'DEL', config, a);
      assert.deepEqual(podLines(2), []);
      await call(reference!, 'ADD', config, a);
      await call(subject, 'CHECK', config, a);
      await call(subject, 'DEL', config, a);
      assert.deepEqual(podLines(2), []);
      assert.equal(filterRules().length, 2 * 4);
    });
  });
}

for (const { name, subject, backend } of variants) {
  test(`where FORWARD drops, pods reach the outside and get answers, and nobody reaches them: ${name}`, async () => {
    using world = new World();
    const netns = world.netns('a');
    const bridge = bridgeConfig(world);
    const pod = { containerID: 'poda', netns };
    const prevResult = await call(subject, 'ADD', bridge, pod);
    const outside = world.netns('outside');
    run('ip', 'link', 'add', 'uplink', 'type', 'veth', 'peer', 'name', 'far', 'netns', outside);
    run('ip', 'address', 'add', '192.0.2.1/24', 'dev', 'uplink');
    run('ip', 'link', 'set', 'uplink', 'up');
    for (const args of [
      'address add 192.0.2.2/24 dev far',
      'link set far up',
      'route add default via 192.0.2.1',
    ])
      inPod(outside, 'ip', ...args.split(' '));
    run('iptables', '-P', 'FORWARD', 'DROP');
    const ping = (from: string, to: string) => inPod(from, 'busybox', 'ping', '-c', '1', '-W', '1', to);
    assert.throws(() => ping(netns, '192.0.2.2'));
    const config = firewall(backend);
    await call(subject, 'ADD', config, { ...pod, prevResult });
    ping(netns, '192.0.2.2');
    assert.throws(() => ping(outside, prevResult.ips![0]!.address.split('/')[0]!));
    assert.match(run('iptables', '-S', 'FORWARD'), /-P FORWARD DROP/);
    await call(subject, 'DEL', config, { ...pod, prevResult });
    assert.throws(() => ping(netns, '192.0.2.2'));
    await call(subject, 'DEL', bridge, { ...pod, prevResult });
  });
}
