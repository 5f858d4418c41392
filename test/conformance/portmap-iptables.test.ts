import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Result } from '@amphipod/cni';
import { iptablesRules } from './lib/iptables.ts';
import { subjects } from './lib/subjects.ts';
import { type Config, call, failureOf, run, World } from './lib/world.ts';

const web = { hostPort: 8080, containerPort: 80, protocol: 'tcp' };
const dns = { hostPort: 5353, containerPort: 53, protocol: 'udp' };

const portmap = (portMappings: object[], more: object = { backend: 'iptables' }): Config => ({
  type: 'portmap',
  runtimeConfig: { portMappings },
  ...more,
});

function resultOf(number: number, families: readonly (4 | 6)[] = [4, 6]): Result {
  const addresses = { 4: `10.99.0.${number}/24`, 6: `fd00:99::${number}/64` };
  return {
    interfaces: [{ name: 'tb0' }, { name: 'eth0', sandbox: '/run/netns/x' }],
    ips: families.map((family) => ({ address: addresses[family], interface: 1 })),
  };
}

const pod = (number: number, families?: readonly (4 | 6)[]) => ({
  containerID: `pod${number}`,
  netns: '/dummy',
  prevResult: resultOf(number, families),
});

const entrances = [
  '-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT',
  '-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT',
];
const markRules = (mark: string) => [
  '-A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ',
  `-A CNI-HOSTPORT-MASQ -m mark --mark ${mark} -j MASQUERADE`,
  `-A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark ${mark}`,
];
const chain2 = 'CNI-DN-c01fb29f5fcd1d5c72df1';
const entry = (protocol: string, ports: string, more = '') =>
  `-A CNI-HOSTPORT-DNAT -p ${protocol} -m comment --comment "dnat name: \\"testnet\\" id: \\"pod2\\"" -m multiport --dports ${ports} ${more}-j ${chain2}`;

const [inProcess] = subjects;
const reference = subjects.find(({ isOurs }) => !isOurs);

for (const subject of subjects) {
  const keys = subject.isOurs ? { backend: 'iptables' } : {};
  const rulesOf = async (mappings: object[], more: object = {}): Promise<string[]> => {
    using _world = new World();
    await call(subject, 'ADD', portmap(mappings, { ...keys, ...more }), pod(2, [4]));
    return iptablesRules('nat', ['iptables-save']).filter((line) => line.startsWith('-A'));
  };

  describe(`portmap with iptables, ${subject.name}`, () => {
    test('makes the chains of the reference, DEL leaves what pods share', async () => {
      using _world = new World();
      const config = portmap([web, { ...dns, hostIP: '192.0.2.7' }], keys);
      await call(subject, 'ADD', config, pod(2));
      const mark = '-j CNI-HOSTPORT-SETMARK';
      const shared = [
        ...['DNAT', 'MASQ', 'SETMARK'].map((name) => `:CNI-HOSTPORT-${name} - [0:0]`),
        ...entrances,
        ...markRules('0x2000/0x2000'),
      ].toSorted();
      const v4 = [
        `:${chain2} - [0:0]`,
        `-A ${chain2} -s 10.99.0.0/24 -p tcp -m tcp --dport 8080 ${mark}`,
        `-A ${chain2} -s 127.0.0.1/32 -p tcp -m tcp --dport 8080 ${mark}`,
        `-A ${chain2} -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.99.0.2:80`,
        `-A ${chain2} -s 10.99.0.0/24 -d 192.0.2.7/32 -p udp -m udp --dport 5353 ${mark}`,
        `-A ${chain2} -s 127.0.0.1/32 -d 192.0.2.7/32 -p udp -m udp --dport 5353 ${mark}`,
        `-A ${chain2} -d 192.0.2.7/32 -p udp -m udp --dport 5353 -j DNAT --to-destination 10.99.0.2:53`,
        entry('tcp', '8080'),
        entry('udp', '5353'),
      ];
      const v6 = [
        `:${chain2} - [0:0]`,
        `-A ${chain2} -s fd00:99::/64 -p tcp -m tcp --dport 8080 ${mark}`,
        `-A ${chain2} -p tcp -m tcp --dport 8080 -j DNAT --to-destination [fd00:99::2]:80`,
        entry('tcp', '8080'),
        entry('udp', '5353'),
      ];
      assert.deepEqual(iptablesRules('nat', ['iptables-save']).toSorted(), [...shared, ...v4].toSorted());
      assert.deepEqual(iptablesRules('nat', ['ip6tables-save']).toSorted(), [...shared, ...v6].toSorted());
      // The order within the chain decides.
      const inChain = iptablesRules('nat', ['iptables-save']).filter((line) =>
        line.startsWith(`-A ${chain2}`),
      );
      assert.deepEqual(inChain, v4.slice(1, 7));
      // The reference (1.1.1) looks for the IPv4 rules in the IPv6 table.
      if (subject.isOurs) await call(subject, 'CHECK', config, pod(2));
      await call(subject, 'DEL', config, pod(2));
      assert.deepEqual(iptablesRules('nat', ['iptables-save']).toSorted(), shared);
      assert.deepEqual(iptablesRules('nat', ['ip6tables-save']).toSorted(), shared);
      await call(subject, 'DEL', config, pod(2));
    });

    test('markMasqBit, externalSetMarkChain, snat, conditions, and more ports than one rule takes', async () => {
      assert.ok((await rulesOf([web], { markMasqBit: 5 })).includes(markRules('0x20/0x20')[2]!));
      const withoutSnat = await rulesOf([web], { snat: false });
      assert.deepEqual(
        withoutSnat.toSorted(),
        [
          ...entrances,
          entry('tcp', '8080'),
          `-A ${chain2} -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.99.0.2:80`,
        ].toSorted(),
      );
      const conditional = await rulesOf([web], { conditionsV4: ['!', '-s', '192.0.2.0/24'] });
      assert.ok(
        conditional.includes(entry('tcp', '8080').replace('-DNAT -p', '-DNAT ! -s 192.0.2.0/24 -p')),
        conditional.join('\n'),
      );
      const many = Array.from({ length: 17 }, (_, i) => ({ ...web, hostPort: 9000 + i }));
      const entries = (await rulesOf(many)).filter((line) => line.startsWith('-A CNI-HOSTPORT-DNAT'));
      const ports = many.map(({ hostPort }) => hostPort);
      assert.deepEqual(entries, [
        entry('tcp', ports.slice(0, 15).join(',')),
        entry('tcp', ports.slice(15).join(',')),
      ]);
      run('iptables', '-t', 'nat', '-N', 'MY-MARK');
      const external = await rulesOf([web], { externalSetMarkChain: 'MY-MARK' });
      assert.deepEqual(external.filter((line) => line.endsWith('-j MY-MARK')).length, 2);
      assert.ok(!external.some((line) => line.includes('CNI-HOSTPORT-MASQ')));
    });

    test('a chain that is to set the mark and is not there: ADD fails', async () => {
      using _world = new World();
      const config = portmap([web], { ...keys, externalSetMarkChain: 'MY-MARK' });
      const failure = await failureOf(call(subject, 'ADD', config, pod(2, [4])));
      assert.match(failure.message, /MY-MARK/);
      if (subject.isOurs) assert.deepEqual(iptablesRules('nat'), []);
    });

    test('both ways of marking, and bits that are none, are refused', async () => {
      const refuse = async (more: object) =>
        (await failureOf(call(subject, 'ADD', portmap([web], { ...keys, ...more }), pod(2, [4])))).message;
      assert.match(
        await refuse({ markMasqBit: 5, externalSetMarkChain: 'X' }),
        /Cannot specify externalSetMarkChain and markMasqBit/,
      );
      assert.match(await refuse({ markMasqBit: 32 }), /MasqMarkBit must be between 0 and 31/);
    });

    test('one pod goes, the others stay (NET-09); DEL after a flush (NET-10)', async () => {
      using _world = new World();
      const other = { ...web, hostPort: 8081 };
      await call(subject, 'ADD', portmap([web], keys), pod(2));
      await call(subject, 'ADD', portmap([other], keys), pod(3));
      await call(subject, 'DEL', portmap([web], keys), pod(2));
      assert.ok(!iptablesRules('nat').some((line) => line.includes('pod2')));
      assert.equal(iptablesRules('nat').filter((line) => line.includes('pod3')).length, 2);
      run('iptables', '-t', 'nat', '-F');
      if (subject.isOurs) {
        const failure = await failureOf(call(subject, 'CHECK', portmap([other], keys), pod(3)));
        assert.match(failure.message, /host port rules of 10\.99\.0\.3 not found in iptables chain CNI-DN-/);
      }
      await call(subject, 'DEL', portmap([other], keys), pod(3));
      run('nft', 'flush', 'ruleset');
      await call(subject, 'DEL', portmap([other], keys), pod(3));
      await call(subject, 'ADD', portmap([other], keys), pod(3));
      assert.equal(iptablesRules('nat').filter((line) => line.includes('pod3')).length, 2);
    });
  });
}

for (const subject of subjects.filter(({ isOurs }) => isOurs)) {
  describe(`portmap with iptables, ${subject.name}, beyond the reference`, () => {
    test('DEL without a result; GC', async () => {
      using _world = new World();
      for (const number of [2, 3, 4]) {
        await call(subject, 'ADD', portmap([{ ...web, hostPort: 8080 + number }]), pod(number));
      }
      const { containerID } = pod(2);
      await call(subject, 'DEL', portmap([web]), { containerID });
      const left = () =>
        [2, 3, 4].map((i) => iptablesRules('nat').filter((line) => line.includes(`pod${i}`)).length);
      assert.deepEqual(left(), [0, 2, 2]);
      const validAttachments = [{ containerID: 'pod4', ifName: 'eth0' }];
      await call(subject, 'GC', portmap([]), { validAttachments });
      assert.deepEqual(left(), [0, 0, 2]);
      await call(subject, 'GC', { ...portmap([]), name: 'other' }, { validAttachments: [] });
      assert.deepEqual(left(), [0, 0, 2]);
    });

    test('a pod that the reference added is taken away, with no backend named', async () => {
      using _world = new World();
      await call(reference!, 'ADD', portmap([web], {}), pod(2));
      assert.ok(iptablesRules('nat').some((line) => line.includes('pod2')));
      await call(subject, 'DEL', portmap([web], {}), pod(2));
      assert.ok(!iptablesRules('nat').some((line) => line.includes('pod2')));
    });

    test('an ADD that was cut off is completed by the next', async () => {
      using _world = new World();
      run('iptables', '-t', 'nat', '-N', chain2);
      await call(subject, 'ADD', portmap([web]), pod(2));
      await call(subject, 'CHECK', portmap([web]), pod(2));
      await call(subject, 'ADD', portmap([web]), pod(2));
      assert.equal(iptablesRules('nat').filter((line) => line.includes('pod2')).length, 2);
    });

    test('20 pods at once, in and out again', { timeout: 120_000 }, async () => {
      using _world = new World();
      const numbers = Array.from({ length: 20 }, (_, i) => 100 + i);
      const config = (number: number) => portmap([{ ...web, hostPort: 9000 + number }]);
      await Promise.all(numbers.map((number) => call(subject, 'ADD', config(number), pod(number))));
      const left = () =>
        iptablesRules('nat').filter((line) => line.startsWith('-A CNI-HOSTPORT-DNAT')).length;
      assert.equal(left(), 40);
      await Promise.all(numbers.map((number) => call(subject, 'DEL', config(number), pod(number))));
      assert.equal(left(), 0);
    });
  });
}

test('the reference takes away what we made with iptables', async () => {
  using _world = new World();
  await call(inProcess!, 'ADD', portmap([web, dns]), pod(2));
  await call(reference!, 'DEL', portmap([web, dns]), pod(2));
  assert.ok(!iptablesRules('nat').some((line) => line.includes('pod2')));
});

test('the backend follows from the language of the conditions; both at once are refused', async () => {
  using _world = new World();
  await call(inProcess!, 'ADD', portmap([web], { conditionsV4: ['-s', '192.0.2.0/24'] }), pod(2, [4]));
  assert.ok(iptablesRules('nat').some((line) => line.includes('pod2')));
  const refuse = async (more: object) =>
    (await failureOf(call(inProcess!, 'ADD', portmap([web], more), pod(2, [4])))).message;
  assert.match(
    await refuse({ backend: 'nftables', conditionsV4: ['-s', '192.0.2.0/24'], externalSetMarkChain: 'X' }),
    /nftables backend was requested but configuration contains iptables-specific options \[externalSetMarkChain conditionsV4\]/,
  );
  assert.match(
    await refuse({ externalSetMarkChain: 'X', conditionsV6: ['ip6', 'saddr', '::1'] }),
    /iptables backend was requested but configuration contains nftables-specific options \[conditionsV6\]/,
  );
  assert.match(await refuse({ backend: 'pf' }), /unrecognized backend "pf"/);
  assert.match(await refuse({ backend: 'iptables', conditionsV4: ['-s\n-F'] }), /has a line break/);
});

test('conditions in the language of nft', async () => {
  using _world = new World();
  const conditionsV4 = ['ip', 'saddr', '!=', '192.0.2.0/24'];
  const config = portmap([web, { ...dns, hostIP: '192.0.2.7' }], { conditionsV4, snat: false });
  await call(inProcess!, 'ADD', config, pod(2));
  const rules = () =>
    run('nft', 'list', 'table', 'ip', 'amphipod_hostports')
      .split('\n')
      .map((line) => line.trim());
  const tag = 'comment "cni testnet pod2/eth0"';
  assert.ok(
    rules().includes(`ip saddr != 192.0.2.0/24 tcp dport 8080 dnat to 10.99.0.2:80 ${tag}`),
    rules().join('\n'),
  );
  assert.ok(
    rules().includes(
      `ip saddr != 192.0.2.0/24 ip daddr 192.0.2.7 udp dport 5353 dnat to 10.99.0.2:53 ${tag}`,
    ),
  );
  await call(inProcess!, 'CHECK', config, pod(2));
  // The other family has none, and its ports are in the map.
  assert.match(run('nft', 'list', 'map', 'ip6', 'amphipod_hostports', 'hostports'), /tcp \. 8080 comment/);
  const validAttachments = [{ containerID: 'pod2', ifName: 'eth0' }];
  await call(inProcess!, 'GC', config, { validAttachments });
  await call(inProcess!, 'CHECK', config, pod(2));
  run('nft', 'flush', 'chain', 'ip', 'amphipod_hostports', 'conditional');
  assert.match(
    (await failureOf(call(inProcess!, 'CHECK', config, pod(2)))).message,
    /not found in ip amphipod_hostports conditional/,
  );
  await call(inProcess!, 'ADD', config, pod(3, [4]));
  await call(inProcess!, 'DEL', config, pod(3, [4]));
  assert.ok(!run('nft', 'list', 'ruleset').includes('pod3'));
  const wrong = portmap([web], { conditionsV4: ['ip', 'nonsense'] });
  assert.match(
    (await failureOf(call(inProcess!, 'ADD', wrong, pod(4, [4])))).message,
    /conditionsV4 "ip nonsense": .*syntax error/s,
  );
  assert.ok(!run('nft', 'list', 'ruleset').includes('pod4'));
});
