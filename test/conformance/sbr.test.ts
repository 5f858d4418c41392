import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { NetConf, Result } from '@amphipod/cni';
import { type Subject, subjects } from './lib/subjects.ts';
import { call, failureOf, link, run, World } from './lib/world.ts';

type Config = Partial<NetConf> & { type: string };

const sbr: Config = { type: 'sbr' };

function inPod(netns: string, ...words: string[]): string {
  return run('nsenter', `--net=${netns}`, ...words);
}

function ipInPod(netns: string, ...lines: string[]): void {
  for (const line of lines) inPod(netns, 'ip', ...line.split(' '));
}

/** `10.99.0.2 → 100`, in the order in which the kernel looks at them; its own three rules left out. */
function rules(netns: string): string[] {
  const lists = ['-4', '-6'].map((family) => inPod(netns, 'ip', '-j', '-N', family, 'rule', 'show'));
  return lists
    .flatMap((text) => JSON.parse(text) as { src: string; table: string; priority: number }[])
    .filter(({ src }) => src !== 'all')
    .sort((a, b) => Number(a.table) - Number(b.table))
    .map(({ src, table }) => `${src} → ${table}`);
}

/** Routes of a table as lines of `ip`, without link-local ones. */
function table(netns: string, name: string | number): string[] {
  const show = (family: string) =>
    inPod(netns, 'sh', '-c', `ip ${family} route show table ${name} 2>/dev/null || true`).split('\n');
  return [...show('-4'), ...show('-6')]
    .map((line) => line.replaceAll(/ (linkdown|pref medium|metric 1024)/g, '').trim())
    .filter((line) => line !== '' && !/^(local )?fe80::/.test(line) && !line.startsWith('multicast'));
}

interface Pod {
  netns: string;
  ifName: string;
  prevResult: Result;
}

/** A pod with eth0, which has the default route, and the interface net1 of a second network. */
function pod(world: World, ips: Result['ips'], lines: string[] = []): Pod {
  const netns = world.netns('pod');
  run('ip', ...'link add host-a type veth peer name eth0 netns'.split(' '), netns);
  run('ip', ...'link add host-b type veth peer name net1 netns'.split(' '), netns);
  run('ip', 'link', 'set', 'host-a', 'up');
  run('ip', 'link', 'set', 'host-b', 'up');
  ipInPod(
    netns,
    'link set eth0 up',
    'link set net1 up',
    'address add 10.88.0.2/24 dev eth0',
    'route add default via 10.88.0.1',
    ...ips!.map(({ address }) => `address add ${address} dev net1${address.includes(':') ? ' nodad' : ''}`),
    ...lines,
  );
  const interfaces = [
    { name: 'host-b' },
    { name: 'net1', mac: link('net1', netns)!.address, sandbox: netns },
  ];
  return {
    netns,
    ifName: 'net1',
    prevResult: { interfaces, ips: ips!.map((ip) => ({ ...ip, interface: 1 })) },
  };
}

const v4 = { address: '10.99.0.2/24', gateway: '10.99.0.1' };
const v6 = { address: 'fd00:99::2/64', gateway: 'fd00:99::1' };
const eth0Routes = [
  'default via 10.88.0.1 dev eth0',
  '10.88.0.0/24 dev eth0 proto kernel scope link src 10.88.0.2',
];

for (const subject of subjects) {
  describe(`sbr, ${subject.name}`, () => {
    test('routes of the interface are in a table of its own, and the result is as before', async () => {
      using world = new World();
      const attachment = pod(world, [v4], ['route add 10.7.0.0/16 via 10.99.0.9']);
      const { netns, prevResult } = attachment;
      assert.deepEqual(await call(subject, 'ADD', sbr, attachment), prevResult);
      assert.deepEqual(rules(netns), ['10.99.0.2 → 100']);
      assert.deepEqual(table(netns, 100), [
        'default via 10.99.0.1 dev net1',
        '10.7.0.0/16 via 10.99.0.9 dev net1',
        '10.99.0.0/24 dev net1 proto kernel scope link src 10.99.0.2',
      ]);
      assert.deepEqual(table(netns, 'main'), eth0Routes);
      assert.match(
        inPod(netns, 'ip', 'route', 'get', '10.1.1.1', 'from', '10.99.0.2'),
        /via 10\.99\.0\.1 dev net1/,
      );
      assert.match(inPod(netns, 'ip', 'route', 'get', '10.1.1.1'), /via 10\.88\.0\.1 dev eth0/);
      await call(subject, 'CHECK', sbr, attachment);
      await call(subject, 'DEL', sbr, attachment);
      assert.deepEqual(rules(netns), []);
      await call(subject, 'DEL', sbr, attachment);
    });

    test('a default route of the interface moves too', async () => {
      using world = new World();
      const attachment = pod(world, [{ address: v4.address }], ['route add default via 10.99.0.7 metric 50']);
      await call(subject, 'ADD', sbr, attachment);
      assert.deepEqual(table(attachment.netns, 100), [
        'default via 10.99.0.7 dev net1 metric 50',
        '10.99.0.0/24 dev net1 proto kernel scope link src 10.99.0.2',
      ]);
      assert.deepEqual(table(attachment.netns, 'main'), eth0Routes);
    });

    test('each address has a table, of both families', async () => {
      using world = new World();
      const second = { address: '10.98.0.2/24', gateway: '10.98.0.1' };
      const attachment = pod(world, [v4, second, v6]);
      const { netns } = attachment;
      await call(subject, 'ADD', sbr, attachment);
      assert.deepEqual(rules(netns), ['10.99.0.2 → 100', '10.98.0.2 → 101', 'fd00:99::2 → 102']);
      // The reference copies IPv6 routes to the tables of IPv4 addresses too.
      const isIpv4 = (line: string) => !line.includes(':');
      assert.deepEqual(table(netns, 100).filter(isIpv4), [
        'default via 10.99.0.1 dev net1',
        '10.99.0.0/24 dev net1 proto kernel scope link src 10.99.0.2',
      ]);
      assert.deepEqual(table(netns, 101).filter(isIpv4), [
        'default via 10.98.0.1 dev net1',
        '10.98.0.0/24 dev net1 proto kernel scope link src 10.98.0.2',
      ]);
      assert.deepEqual(table(netns, 102).sort(), [
        'default via fd00:99::1 dev net1',
        'fd00:99::/64 dev net1 proto kernel metric 256',
      ]);
      assert.deepEqual(table(netns, 'main'), eth0Routes);
      await call(subject, 'DEL', sbr, attachment);
      assert.deepEqual(rules(netns), []);
    });

    test('tables that rules lead to are not taken', async () => {
      using world = new World();
      const attachment = pod(world, [v4]);
      ipInPod(attachment.netns, 'rule add from 10.1.1.1 table 100', 'rule add from 10.1.1.2 table 102');
      await call(subject, 'ADD', sbr, attachment);
      assert.deepEqual(rules(attachment.netns), ['10.1.1.1 → 100', '10.99.0.2 → 101', '10.1.1.2 → 102']);
      await call(subject, 'DEL', sbr, attachment);
      assert.deepEqual(rules(attachment.netns), ['10.1.1.1 → 100', '10.1.1.2 → 102']);
    });

    test('addresses of other interfaces are left alone', async () => {
      using world = new World();
      const attachment = pod(world, [v4]);
      const { prevResult, netns } = attachment;
      const interfaces = [...prevResult.interfaces!, { name: 'eth0', sandbox: netns }];
      const ips = [...prevResult.ips!, { address: '10.88.0.2/24', gateway: '10.88.0.1', interface: 2 }];
      await call(subject, 'ADD', sbr, { ...attachment, prevResult: { interfaces, ips } });
      assert.deepEqual(rules(netns), ['10.99.0.2 → 100']);
      assert.deepEqual(table(netns, 'main'), eth0Routes);
    });

    test('what is asked for wrongly changes nothing', async () => {
      using world = new World();
      const attachment = pod(world, [v4]);
      const { netns, prevResult } = attachment;
      const before = table(netns, 'all');
      const add = (config: Config, more: object) =>
        failureOf(call(subject, 'ADD', config, { ...attachment, ...more }));
      const unchained = await add(sbr, { prevResult: undefined });
      assert.match(unchained.message, /This plugin must be called as chained plugin/);
      const noAddress = await add(sbr, { prevResult: { ...prevResult, ips: [] } });
      assert.match(noAddress.message, /No IP addresses supplied on interface: net1/);
      const noLink = await add(sbr, { ifName: 'net2', prevResult: { ips: [{ address: v4.address }] } });
      assert.match(noLink.message, /Cannot find network interface net2: Link not found/);
      assert.deepEqual(table(netns, 'all'), before);
      assert.deepEqual(rules(netns), []);
    });

    test('DEL without namespace, interface and result', async () => {
      using world = new World();
      const attachment = pod(world, [v4]);
      await call(subject, 'DEL', sbr, { ...attachment, prevResult: undefined });
      if (!subject.isOurs) return;
      // Debian's reference fails on them.
      await call(subject, 'DEL', sbr, { ...attachment, ifName: 'net7' });
      await call(subject, 'DEL', sbr, { ...attachment, netns: '' });
      await call(subject, 'DEL', sbr, { ...attachment, netns: '/nonexistent' });
      await call(subject, 'DEL', { ...sbr, table: 'x' }, attachment);
    });

    if (subject.isOurs) describeOurs(subject);
  });
}

function describeOurs(subject: Subject): void {
  test('a table of the configuration gets rules alone (reference 1.3)', async () => {
    using world = new World();
    const attachment = pod(world, [v4, v6], ['route add default via 10.99.0.1 table 7000']);
    const { netns } = attachment;
    const before = table(netns, 'all');
    const config = { ...sbr, table: 7000 };
    await call(subject, 'ADD', config, attachment);
    assert.deepEqual(rules(netns), ['10.99.0.2 → 7000', 'fd00:99::2 → 7000']);
    assert.deepEqual(table(netns, 'all'), before);
    await call(subject, 'CHECK', config, attachment);
    ipInPod(netns, 'rule add from 10.99.0.2 table 100');
    await call(subject, 'DEL', config, attachment);
    assert.deepEqual(rules(netns), ['10.99.0.2 → 100']);
    assert.deepEqual(table(netns, 'all'), before);
    const wrong = await failureOf(call(subject, 'ADD', { ...sbr, table: 0 }, attachment));
    assert.match(wrong.message, /key "table": got 0, want an integer from 1/);
  });

  test('gateways of the configuration take the place of every other (reference 1.9)', async () => {
    using world = new World();
    const attachment = pod(world, [v4, v6], ['route add default via 10.99.0.7 metric 50']);
    const { netns } = attachment;
    const config = { ...sbr, gateways: ['10.99.0.254', 'fd00:99::fe'] };
    await call(subject, 'ADD', config, attachment);
    assert.deepEqual(
      table(netns, 100).filter((line) => line.startsWith('default')),
      ['default via 10.99.0.254 dev net1'],
    );
    assert.deepEqual(
      table(netns, 101).filter((line) => line.startsWith('default')),
      ['default via fd00:99::fe dev net1'],
    );
    await call(subject, 'CHECK', config, attachment);
    const messageOf = async (gateways: string[]) =>
      (await failureOf(call(subject, 'STATUS', { ...sbr, gateways }))).message;
    assert.match(
      await messageOf(['1.1.1.1', '::1', '::2']),
      /gateways list cannot contain more than 2 entries/,
    );
    assert.match(
      await messageOf(['1.1.1.1', '1.1.1.2']),
      /gateways list contains multiple IPv4 addresses: 1\.1\.1\.1 and 1\.1\.1\.2/,
    );
    assert.match(await messageOf(['1.1.1']), /invalid static gateway IP address: 1\.1\.1/);
  });

  test('addSourceHints keeps the way to the network, with the address to use (reference 1.9)', async () => {
    using world = new World();
    const attachment = pod(world, [v4, v6], ['route add default via 10.99.0.1 metric 50']);
    const { netns } = attachment;
    const config = { ...sbr, addSourceHints: true };
    await call(subject, 'ADD', config, attachment);
    assert.deepEqual(table(netns, 'main'), [
      ...eth0Routes,
      '10.99.0.0/24 dev net1 scope link src 10.99.0.2',
      'fd00:99::/64 dev net1 src fd00:99::2',
    ]);
    assert.equal(table(netns, 100).length, 3);
    await call(subject, 'CHECK', config, attachment);
    ipInPod(netns, 'route del 10.99.0.0/24 dev net1');
    const failure = await failureOf(call(subject, 'CHECK', config, attachment));
    assert.match(failure.message, /route to 10\.99\.0\.0\/24 with source 10\.99\.0\.2 is missing/);
  });

  test('hints leave the same network of another interface alone', async () => {
    using world = new World();
    const attachment = pod(world, [{ address: '10.88.0.7/24', gateway: '10.88.0.1' }]);
    await call(subject, 'ADD', { ...sbr, addSourceHints: true }, attachment);
    assert.deepEqual(table(attachment.netns, 'main'), [
      ...eth0Routes,
      '10.88.0.0/24 dev net1 scope link src 10.88.0.7',
    ]);
  });

  test('CHECK fails for a missing rule, and for a table without its default route', async () => {
    using world = new World();
    const attachment = pod(world, [v4]);
    const { netns } = attachment;
    await call(subject, 'ADD', sbr, attachment);
    ipInPod(netns, 'route del default table 100');
    const noRoute = await failureOf(call(subject, 'CHECK', sbr, attachment));
    assert.match(noRoute.message, /default route of 10\.99\.0\.2 is missing in table 100/);
    ipInPod(netns, 'route add default via 10.99.0.1 dev net1 table 100');
    await call(subject, 'CHECK', sbr, attachment);
    ipInPod(netns, 'rule del from 10.99.0.2');
    const noRule = await failureOf(call(subject, 'CHECK', sbr, attachment));
    assert.match(noRule.message, /rule for source 10\.99\.0\.2 to a table of its own is missing/);
    assert.equal(noRule.number, 100);
  });

  test('a table that has routes is not free, and DEL empties those it filled', async () => {
    using world = new World();
    const attachment = pod(world, [v4], ['route add 10.7.0.0/16 via 10.88.0.1 table 100']);
    const { netns } = attachment;
    for (let again = 0; again < 2; again++) {
      await call(subject, 'ADD', sbr, attachment);
      assert.deepEqual(rules(netns), ['10.99.0.2 → 101']);
      await call(subject, 'DEL', sbr, attachment);
      assert.deepEqual(table(netns, 101), []);
      // What was in the main table goes with the interface.
      ipInPod(netns, 'route add 10.99.0.0/24 dev net1 src 10.99.0.2');
    }
    assert.deepEqual(table(netns, 100), ['10.7.0.0/16 via 10.88.0.1 dev eth0']);
  });

  test('an interface without addresses keeps its routes', async () => {
    using world = new World();
    const attachment = pod(world, [v4]);
    const { prevResult, netns } = attachment;
    const interfaces = [...prevResult.interfaces!, { name: 'eth0', sandbox: netns }];
    const elsewhere = { interfaces, ips: [{ address: '10.88.0.2/24', interface: 2 }] };
    assert.deepEqual(await call(subject, 'ADD', sbr, { ...attachment, prevResult: elsewhere }), elsewhere);
    assert.equal(table(netns, 'main').length, 3);
  });

  test('two interfaces of a pod at once get different tables', async () => {
    using world = new World();
    const attachment = pod(world, [v4]);
    const { netns, prevResult } = attachment;
    const other = {
      netns,
      ifName: 'eth0',
      prevResult: {
        interfaces: [{ name: 'eth0', sandbox: netns }],
        ips: [{ address: '10.88.0.2/24', gateway: '10.88.0.1', interface: 0 }],
      },
    };
    await Promise.all([
      call(subject, 'ADD', sbr, { ...attachment, prevResult }),
      call(subject, 'ADD', sbr, other),
    ]);
    const tables = rules(netns).map((line) => line.replace(/.* /, ''));
    assert.deepEqual(tables, ['100', '101']);
  });

  test("a late DEL leaves a new pod's rules alone", async () => {
    using world = new World();
    const attachment = pod(world, [v4]);
    await call(subject, 'ADD', sbr, { ...attachment, containerID: 'c2' });
    run('ip', 'link', 'set', 'host-b', 'alias', 'cni testnet c2/net1');
    await call(subject, 'DEL', sbr, attachment);
    assert.deepEqual(rules(attachment.netns), ['10.99.0.2 → 100']);
    await call(subject, 'DEL', sbr, { ...attachment, containerID: 'c2' });
    assert.deepEqual(rules(attachment.netns), []);
  });
}
