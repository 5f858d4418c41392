import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { NetConf, Result } from '@amphipod/cni';
import { unpinNamespace } from '@amphipod/linux';
import { type Subject, subjects } from './lib/subjects.ts';
import { call, failureOf, link, links, run, World } from './lib/world.ts';

type Config = Partial<NetConf> & { type: string };

interface Qdisc {
  kind: string;
  handle: string;
  root?: boolean;
  options?: { rate?: number; burst?: number; lat?: number };
}

const limits = { ingressRate: 8_000_000, ingressBurst: 800_000, egressRate: 4_000_000, egressBurst: 400_000 };
const shaping: Config = { type: 'bandwidth', ...limits };

function qdiscs(device: string): Qdisc[] {
  return (JSON.parse(run('tc', '-j', 'qdisc', 'show', 'dev', device)) as Qdisc[]).filter(
    ({ kind }) => kind !== 'noqueue',
  );
}

function bucketOf(device: string): Qdisc['options'] {
  return qdiscs(device).find(({ kind }) => kind === 'tbf')?.options;
}

const bridgeOf = (world: World): Config => ({
  type: 'bridge',
  bridge: 'tb0',
  ipam: { type: 'host-local', subnet: '10.99.0.0/24', dataDir: world.dataDir },
});

interface Attached {
  pod: { containerID: string; netns: string; prevResult: Result };
  hostEnd: string;
}

/** A pod on a bridge. */
async function attach(subject: Subject, world: World, containerID = 'c1'): Promise<Attached> {
  const netns = world.netns(containerID);
  const prevResult = await call(subject, 'ADD', bridgeOf(world), { containerID, netns });
  return { pod: { containerID, netns, prevResult }, hostEnd: prevResult.interfaces![1]!.name };
}

for (const subject of subjects) {
  describe(`bandwidth, ${subject.name}`, () => {
    test('both directions are limited, CHECK agrees, DEL takes the ifb away (NET-15)', async () => {
      using world = new World();
      const { pod, hostEnd } = await attach(subject, world);
      const result = await call(subject, 'ADD', shaping, pod);
      const ifb = result.interfaces!.at(-1)!;
      assert.equal(result.interfaces!.length, pod.prevResult.interfaces!.length + 1);
      // "bwp" and sha512 of network and container.
      assert.equal(ifb.name, 'bwp328e3d85e6c0');
      const shown = link(ifb.name)!;
      assert.deepEqual([shown.address, shown.mtu, shown.linkinfo!.info_kind], [ifb.mac, 1500, 'ifb']);
      assert.ok(shown.flags.includes('UP'));
      assert.deepEqual(bucketOf(hostEnd), { rate: 1_000_000, burst: 100_000, lat: 25_000 });
      assert.deepEqual(bucketOf(ifb.name), { rate: 500_000, burst: 50_000, lat: 25_000 });
      assert.deepEqual(
        qdiscs(hostEnd).map(({ kind, handle }) => `${kind} ${handle}`),
        ['tbf 1:', 'ingress ffff:'],
      );
      assert.match(
        run('tc', 'filter', 'show', 'dev', hostEnd, 'parent', 'ffff:'),
        new RegExp(`pref 1 u32 .*flowid 1:1[\\s\\S]*Egress Redirect to device ${ifb.name}\\) stolen`),
      );
      await call(subject, 'CHECK', shaping, { ...pod, prevResult: result });
      await call(subject, 'DEL', shaping, { ...pod, prevResult: result });
      assert.equal(link(ifb.name), undefined);
      await call(subject, 'DEL', shaping, { ...pod, prevResult: result });
    });

    test('one direction only', async () => {
      using world = new World();
      const { ingressRate, ingressBurst, egressRate, egressBurst } = limits;
      const a = await attach(subject, world, 'a');
      const result = await call(subject, 'ADD', { type: 'bandwidth', ingressRate, ingressBurst }, a.pod);
      assert.deepEqual(result.interfaces, a.pod.prevResult.interfaces);
      assert.equal(qdiscs(a.hostEnd).length, 1);
      const b = await attach(subject, world, 'b');
      const limited = await call(subject, 'ADD', { type: 'bandwidth', egressRate, egressBurst }, b.pod);
      assert.deepEqual(
        qdiscs(b.hostEnd).map(({ kind }) => kind),
        ['ingress'],
      );
      assert.deepEqual(bucketOf(limited.interfaces!.at(-1)!.name), {
        rate: 500_000,
        burst: 50_000,
        lat: 25_000,
      });
    });

    test('runtimeConfig, which keys of the configuration itself override', async () => {
      using world = new World();
      const runtimeConfig = { bandwidth: limits };
      const a = await attach(subject, world, 'a');
      await call(subject, 'ADD', { type: 'bandwidth', runtimeConfig }, a.pod);
      assert.equal(bucketOf(a.hostEnd)!.rate, 1_000_000);
      const b = await attach(subject, world, 'b');
      const own = { ingressRate: 16_000_000, ingressBurst: 160_000 };
      const result = await call(subject, 'ADD', { type: 'bandwidth', runtimeConfig, ...own }, b.pod);
      assert.equal(bucketOf(b.hostEnd)!.rate, 2_000_000);
      assert.deepEqual(result.interfaces, b.pod.prevResult.interfaces);
    });

    test('without limits the result is passed through', async () => {
      using world = new World();
      const { pod, hostEnd } = await attach(subject, world);
      for (const config of [{}, { ingressRate: 0, ingressBurst: 0 }, { runtimeConfig: { bandwidth: {} } }]) {
        const result = await call(subject, 'ADD', { type: 'bandwidth', ...config }, pod);
        assert.deepEqual(result, pod.prevResult);
      }
      assert.deepEqual(qdiscs(hostEnd), []);
      await call(subject, 'DEL', { type: 'bandwidth' }, pod);
    });

    test('rates beyond 32 bits', async () => {
      using world = new World();
      const { pod, hostEnd } = await attach(subject, world);
      const rates = { ingressRate: 80_000_000_000, ingressBurst: 80_000_000 };
      const config = { type: 'bandwidth', ...rates };
      const result = await call(subject, 'ADD', config, pod);
      assert.equal(bucketOf(hostEnd)!.rate, 10_000_000_000);
      await call(subject, 'CHECK', config, { ...pod, prevResult: result });
    });

    const refused: Record<string, { config: object; words: RegExp }> = {
      'a rate without a burst': {
        config: { ingressRate: 8000 },
        words: /if rate is set, burst must also be set/,
      },
      'a burst without a rate': {
        config: { egressBurst: 8000 },
        words: /if burst is set, rate must also be set/,
      },
      'a rate without a burst in runtimeConfig': {
        config: { runtimeConfig: { bandwidth: { egressRate: 8000 } } },
        words: /if rate is set, burst must also be set/,
      },
      'a burst of 4 GB': {
        config: { ingressRate: 8000, ingressBurst: 2 ** 32 * 8 },
        words: /burst cannot be more than 4GB/,
      },
      'a negative rate': { config: { ingressRate: -8, ingressBurst: 8000 }, words: /ingressRate/ },
      'a rate that is no number': { config: { ingressRate: '1M', ingressBurst: 8000 }, words: /ingressRate/ },
    };
    for (const [what, { config, words }] of Object.entries(refused)) {
      test(`${what} is refused`, async () => {
        using world = new World();
        const { pod, hostEnd } = await attach(subject, world);
        const error = await failureOf(call(subject, 'ADD', { type: 'bandwidth', ...config }, pod));
        assert.match(error.message, words);
        assert.deepEqual(qdiscs(hostEnd), []);
      });
    }

    test('what is needed of the plugins before', async () => {
      using world = new World();
      const { pod } = await attach(subject, world);
      const failure = async (prevResult: Result | undefined) =>
        (await failureOf(call(subject, 'ADD', shaping, { ...pod, prevResult }))).message;
      assert.match(await failure(undefined), /must be called as chained plugin/);
      assert.match(await failure({ ips: pod.prevResult.ips! }), /no interfaces provided/);
      const other = { ...pod.prevResult, interfaces: [{ name: 'other0' }, pod.prevResult.interfaces![2]!] };
      assert.match(await failure(other), /no veth peer of container interface found in host ns/);
      const gone = { ...pod, ifName: 'eth7' };
      const error = await failureOf(call(subject, 'ADD', shaping, gone));
      assert.match(error.message, /container interface eth7 has no veth peer/);
    });

    test('a pair that another plugin made', async () => {
      using world = new World();
      const netns = world.netns('a');
      run(
        'ip',
        'link',
        'add',
        'mine0',
        'mtu',
        '1400',
        'type',
        'veth',
        'peer',
        'name',
        'eth0',
        'netns',
        netns,
      );
      const prevResult = { interfaces: [{ name: 'mine0' }, { name: 'eth0', sandbox: netns }] };
      const result = await call(subject, 'ADD', shaping, { netns, prevResult });
      assert.equal(bucketOf('mine0')!.rate, 1_000_000);
      assert.equal(link(result.interfaces![2]!.name)!.mtu, 1400);
      await call(subject, 'CHECK', shaping, { netns, prevResult: result });
    });

    test('DEL without namespace, previous result and limits (NET-15)', async () => {
      using world = new World();
      const { pod } = await attach(subject, world);
      const result = await call(subject, 'ADD', shaping, pod);
      unpinNamespace(pod.netns);
      await call(subject, 'DEL', { type: 'bandwidth' }, { containerID: 'c1', netns: '' });
      assert.equal(link(result.interfaces!.at(-1)!.name), undefined);
      await call(subject, 'DEL', { type: 'bandwidth' }, { containerID: 'c1', netns: '' });
    });

    test('CHECK fails for each thing that is broken (CNI-17)', async () => {
      using world = new World();
      const breaks: Record<string, (hostEnd: string, ifb: string) => void> = {
        rate: (hostEnd) => tc('qdisc', 'replace', hostEnd, 'tbf rate 2mbit burst 100000 latency 25ms'),
        limit: (hostEnd) => tc('qdisc', 'replace', hostEnd, 'tbf rate 8mbit burst 100000 latency 99ms'),
        burst: (_hostEnd, ifb) => tc('qdisc', 'replace', ifb, 'tbf rate 4mbit burst 20000 limit 62500'),
        ifb: (_hostEnd, ifb) => run('ip', 'link', 'del', ifb),
      };
      if (subject.isOurs) {
        // The reference takes no offence at these.
        breaks.bucket = (hostEnd) => run('tc', 'qdisc', 'del', 'dev', hostEnd, 'root');
        breaks.redirect = (hostEnd) => run('tc', 'qdisc', 'del', 'dev', hostEnd, 'ingress');
        breaks.up = (_hostEnd, ifb) => run('ip', 'link', 'set', ifb, 'down');
      }
      for (const [what, breakIt] of Object.entries(breaks)) {
        const { pod, hostEnd } = await attach(subject, world, `c-${what}`);
        const prevResult = await call(subject, 'ADD', shaping, pod);
        await call(subject, 'CHECK', shaping, { ...pod, prevResult });
        breakIt(hostEnd, prevResult.interfaces!.at(-1)!.name);
        const error = await failureOf(call(subject, 'CHECK', shaping, { ...pod, prevResult }));
        if (subject.isOurs) assert.equal(error.number, 100, what);
      }
    });

    test('a version before 0.3.0 is refused', async () => {
      using world = new World();
      const { pod } = await attach(subject, world);
      const error = await failureOf(
        call(subject, 'ADD', { ...shaping, cniVersion: '0.2.0' }, { ...pod, prevResult: undefined }),
      );
      assert.match(error.message, /incompatible CNI versions/);
    });

    oursOnly(subject);
  });
}

function tc(object: string, verb: string, device: string, words: string): void {
  run('tc', object, verb, 'dev', device, 'root', 'handle', '1:', ...words.split(' '));
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
    const { ingressRate, ingressBurst, ...egress } = limits;
    for (const config of [shaping, { type: 'bandwidth', ...egress }]) {
      const prevResult = await call(subject, 'ADD', config, pod);
      await failureOf(call(subject, 'ADD', config, pod));
      await call(subject, 'CHECK', config, { ...pod, prevResult });
      await call(subject, 'DEL', config, { ...pod, prevResult });
      const hostEnd = pod.prevResult.interfaces![1]!.name;
      run('tc', 'qdisc', 'del', 'dev', hostEnd, 'ingress');
      if (qdiscs(hostEnd).length > 0) run('tc', 'qdisc', 'del', 'dev', hostEnd, 'root');
    }
    assert.deepEqual([ingressRate, ingressBurst], [8_000_000, 800_000]);
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
