import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Result } from '@amphipod/cni';
import { unpinNamespace } from '@amphipod/linux';
import { attach, bucketOf, limits, qdiscs, shaping } from './lib/bandwidth.ts';
import { subjects } from './lib/subjects.ts';
import { call, failureOf, link, run, World } from './lib/world.ts';

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
      run('ip', ...'link add mine0 mtu 1400 type veth peer name eth0 netns'.split(' '), netns);
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
  });
}

function tc(object: string, verb: string, device: string, words: string): void {
  run('tc', object, verb, 'dev', device, 'root', 'handle', '1:', ...words.split(' '));
}
