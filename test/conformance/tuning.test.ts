import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { unpinNamespace } from '@amphipod/linux';
import { subjects } from './lib/subjects.ts';
import { MAC, pair, setLink, sysctl } from './lib/tuned-pod.ts';
import { call, failureOf, inPod, run, World } from './lib/world.ts';

for (const subject of subjects) {
  describe(`tuning, ${subject.name}`, () => {
    test('settings of the interface are made, checked and taken back', async () => {
      using world = new World();
      const { pod, config, kept, settings, dataDir } = pair(world);
      const before = settings();
      const all = config({
        mac: MAC,
        mtu: 1400,
        promisc: true,
        allmulti: true,
        ...(subject.isOurs && { txQLen: 77 }),
      });
      const result = await call(subject, 'ADD', all, pod);
      const [hostEnd, inPod] = pod.prevResult.interfaces!;
      assert.deepEqual(result, { ...pod.prevResult, interfaces: [hostEnd, { ...inPod, mac: MAC }] });
      assert.deepEqual(settings(), {
        address: MAC,
        mtu: 1400,
        txqlen: subject.isOurs ? 77 : 1000,
        promisc: true,
        allMulti: true,
      });
      assert.deepEqual(kept(), ['c1_eth0.json']);
      const file = JSON.parse(readFileSync(join(dataDir, 'c1_eth0.json'), 'utf8')) as Record<string, unknown>;
      const { mac, promisc, mtu, allmulti, txQLen } = file;
      assert.deepEqual([mac, promisc, mtu, allmulti], [inPod!.mac, false, 1500, false]);
      assert.equal(txQLen, subject.isOurs ? 1000 : undefined);
      await call(subject, 'CHECK', all, { ...pod, prevResult: result });
      await call(subject, 'DEL', all, { ...pod, prevResult: result });
      assert.deepEqual(settings(), before);
      assert.deepEqual(kept(), []);
      await call(subject, 'DEL', all, { ...pod, prevResult: result });
    });

    test('sysctls, with IFNAME, dots and slashes', async () => {
      using world = new World();
      const { pod, config, kept } = pair(world);
      // Debian's reference does not know IFNAME yet.
      const ifName = subject.isOurs ? 'IFNAME' : 'eth0';
      const wanted = config({
        sysctl: {
          [`net.ipv4.conf.${ifName}.rp_filter`]: '2',
          'net.core.somaxconn': '511',
          [`net/ipv4/conf/${ifName}/log_martians`]: '1',
        },
      });
      assert.deepEqual(await call(subject, 'ADD', wanted, pod), pod.prevResult);
      assert.equal(sysctl(pod.netns, 'net.ipv4.conf.eth0.rp_filter'), '2');
      assert.equal(sysctl(pod.netns, 'net.core.somaxconn'), '511');
      assert.equal(sysctl(pod.netns, 'net.ipv4.conf.eth0.log_martians'), '1');
      assert.notEqual(run('sysctl', '-n', 'net.core.somaxconn').trim(), '511');
      assert.deepEqual(kept(), []);
      await call(subject, 'CHECK', wanted, pod);
      inPod(pod.netns, 'sysctl', '-w', 'net.core.somaxconn=77');
      const error = await failureOf(call(subject, 'CHECK', wanted, pod));
      assert.match(
        error.message,
        /Error: Tuning configured value of \/proc\/sys\/net\/core\/somaxconn is 511, current value is 77/,
      );
      await call(subject, 'DEL', wanted, pod);
    });

    test('an interface name with a dot', async (context) => {
      if (!subject.isOurs) return context.skip('the reference of Debian reads its dot as a separator');
      using world = new World();
      const { pod, config } = pair(world);
      setLink(pod.netns, 'name', 'eth0.7');
      const wanted = config({ sysctl: { 'net.ipv4.conf.IFNAME.rp_filter': '2' }, mtu: 1300 });
      await call(subject, 'ADD', wanted, { ...pod, ifName: 'eth0.7' });
      assert.equal(inPod(pod.netns, 'cat', '/proc/sys/net/ipv4/conf/eth0.7/rp_filter').trim(), '2');
    });

    test('args.cni, runtimeConfig and CNI_ARGS', async () => {
      using world = new World();
      const { pod, config, settings } = pair(world);
      const before = settings();
      const cni = { sysctl: { 'net.core.somaxconn': '222' }, mtu: 1300, promisc: true, allmulti: true };
      const wanted = config({
        sysctl: { 'net.core.somaxconn': '111' },
        mtu: 1400,
        mac: 'c2:00:00:00:00:01',
        args: { cni },
      });
      const args = `IgnoreUnknown=1;K8S_POD_NAME=x;MAC=${MAC}`;
      await call(subject, 'ADD', wanted, { ...pod, args });
      assert.deepEqual(settings(), {
        ...before,
        address: MAC,
        mtu: 1300,
        promisc: true,
        allMulti: true,
      });
      assert.equal(sysctl(pod.netns, 'net.core.somaxconn'), '222');
      await call(subject, 'CHECK', wanted, { ...pod, args });
      await call(subject, 'DEL', wanted, { ...pod, args });
      const runtimeConfig = { mac: 'c2:00:00:00:00:02' };
      const result = await call(subject, 'ADD', { ...wanted, args: {}, runtimeConfig }, { ...pod, args });
      assert.equal(result.interfaces![1]!.mac, 'c2:00:00:00:00:02');
      const last = config({ runtimeConfig, args: { cni: { mac: 'c2:00:00:00:00:03' } } });
      assert.equal((await call(subject, 'ADD', last, pod)).interfaces![1]!.mac, 'c2:00:00:00:00:03');
      const unknown = await failureOf(call(subject, 'ADD', config({}), { ...pod, args: 'A=B' }));
      assert.match(unknown.message, /ARGS: unknown args \["A=B"\]/);
    });

    test('CHECK fails for each thing that is changed', async () => {
      using world = new World();
      const { pod, config } = pair(world);
      const all = config({
        mac: MAC,
        mtu: 1400,
        promisc: true,
        allmulti: true,
        ...(subject.isOurs && { txQLen: 77 }),
      });
      const prevResult = await call(subject, 'ADD', all, pod);
      const broken: [wrong: string[], right: string[]][] = [
        [
          ['address', 'c2:00:00:00:00:99'],
          ['address', MAC],
        ],
        [
          ['mtu', '1300'],
          ['mtu', '1400'],
        ],
        [
          ['promisc', 'off'],
          ['promisc', 'on'],
        ],
        [
          ['allmulticast', 'off'],
          ['allmulticast', 'on'],
        ],
      ];
      if (subject.isOurs) {
        broken.push([
          ['txqueuelen', '1'],
          ['txqueuelen', '77'],
        ]);
      }
      for (const [wrong, right] of broken) {
        setLink(pod.netns, ...wrong);
        const error = await failureOf(call(subject, 'CHECK', all, { ...pod, prevResult }));
        assert.match(error.message, /Tuning .*configured .* current value is/);
        if (subject.isOurs) assert.equal(error.number, 100);
        setLink(pod.netns, ...right);
        await call(subject, 'CHECK', all, { ...pod, prevResult });
      }
      setLink(pod.netns, 'name', 'eth9');
      const error = await failureOf(call(subject, 'CHECK', all, { ...pod, prevResult }));
      assert.match(error.message, /Cannot find container link eth0/);
    });

    test('what is refused', async () => {
      using world = new World();
      const { pod, config, kept, settings } = pair(world);
      const before = settings();
      const failure = async (more: object, call_: object = pod) =>
        (await failureOf(call(subject, 'ADD', config(more), call_))).message;
      assert.match(await failure({ sysctl: { 'kernel.hostname': 'x' } }), /invalid net sysctl key: /);
      assert.match(await failure({ sysctl: { 'net.no.such': '1' } }), /net\/no\/such.*no such file/i);
      assert.match(
        await failure({ sysctl: { 'net.ipv4.conf.all.rp_filter': 'x' } }),
        /net\/ipv4\/conf\/all\/rp_filter.*invalid argument/i,
      );
      assert.match(
        await failure({ mac: 'no-mac' }),
        /invalid args no-mac for MAC addr: address no-mac: invalid/,
      );
      assert.match(await failure({ mac: '01:00:5e:00:00:01' }), /EADDRNOTAVAIL|cannot assign/i);
      assert.match(await failure({ mtu: 1 }), /EINVAL|invalid argument/i);
      assert.match(await failure({}, { netns: pod.netns }), /Required prevResult missing/);
      assert.match(
        await failure({ mtu: 1400 }, { ...pod, ifName: 'eth7' }),
        /failed to get "eth7": Link not found/,
      );
      assert.match(await failure({}, { ...pod, netns: '/no/such' }), /failed to .*open netns|no such file/i);
      if (!subject.isOurs) return;
      assert.deepEqual([settings(), kept()], [before, []]);
    });

    test('files of the reference and ours can be read by the other', async () => {
      using world = new World();
      const { pod, config, settings, kept } = pair(world);
      const before = settings();
      const all = config({ mac: MAC, mtu: 1400, promisc: true, allmulti: true });
      for (const other of subjects) {
        await call(subject, 'ADD', { ...all, cniVersion: '1.0.0' }, pod);
        await call(other, 'DEL', { ...all, cniVersion: '1.0.0' }, pod);
        assert.deepEqual([settings(), kept()], [before, []], other.name);
      }
    });

    test('DEL without interface, namespace, configuration and file (CNI-06)', async () => {
      using world = new World();
      const { pod, config, kept, dataDir } = pair(world);
      await call(subject, 'ADD', config({ mtu: 1400 }), pod);
      setLink(pod.netns, 'name', 'eth9');
      await call(subject, 'DEL', config({ mtu: 1400 }), pod);
      unpinNamespace(pod.netns);
      await call(subject, 'DEL', config({ mtu: 1400 }), pod);
      await call(subject, 'DEL', { type: 'tuning', dataDir }, { netns: '' });
      // The reference leaves the file.
      if (subject.isOurs) assert.deepEqual(kept(), []);
    });
  });
}
