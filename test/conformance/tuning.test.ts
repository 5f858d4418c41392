import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { NetConf, Result } from '@amphipod/cni';
import { mount, unmount, unpinNamespace } from '@amphipod/linux';
import { type Subject, subjects } from './lib/subjects.ts';
import { call, failureOf, link, run, World } from './lib/world.ts';

type Config = Partial<NetConf> & { type: string };

const MAC = 'c2:11:22:33:44:55';

interface TunedPod {
  pod: { netns: string; prevResult: Result };
  config(more: object): Config;
  dataDir: string;
  /** Files of kept settings. */
  kept(): string[];
  settings(): object;
}

/** A namespace with an interface, as a plugin before could have left it. */
function pair(world: World, name = 'a'): TunedPod {
  const netns = world.netns(name);
  const words = `link add host-${name} type veth peer name eth0 mtu 1500 txqueuelen 1000 netns`;
  run('ip', ...words.split(' '), netns);
  const mac = link('eth0', netns)!.address;
  const dataDir = join(world.dir, 'tuning');
  return {
    pod: {
      netns,
      prevResult: {
        interfaces: [{ name: `host-${name}` }, { name: 'eth0', mac, sandbox: netns }],
        ips: [{ address: '10.99.0.2/24', interface: 1 }],
      },
    },
    config: (more) => ({ type: 'tuning', dataDir, ...more }),
    dataDir,
    kept: () => (existsSync(dataDir) ? readdirSync(dataDir).sort() : []),
    settings() {
      const { address, mtu, flags, txqlen } = link('eth0', netns) as ReturnType<typeof link> & {
        txqlen: number;
      };
      const has = (flag: string) => flags.includes(flag);
      return { address, mtu, txqlen, promisc: has('PROMISC'), allMulti: has('ALLMULTI') };
    },
  };
}

function sysctl(netns: string, key: string): string {
  return run('nsenter', `--net=${netns}`, 'sysctl', '-n', key).trim();
}

function setLink(netns: string, ...words: string[]): void {
  run('nsenter', `--net=${netns}`, 'ip', 'link', 'set', 'eth0', ...words);
}

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
      run('nsenter', `--net=${pod.netns}`, 'sysctl', '-w', 'net.core.somaxconn=77');
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
      assert.equal(
        run('nsenter', `--net=${pod.netns}`, 'cat', '/proc/sys/net/ipv4/conf/eth0.7/rp_filter').trim(),
        '2',
      );
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

    oursOnly(subject);
    newerKeys(subject);
  });
}

/** Where we do better than the reference; docs/plugins/tuning.md names these differences. */
function oursOnly(subject: Subject): void {
  const skip = subject.isOurs ? false : 'the reference leaves things behind or touches those of others';

  test('a failed ADD restores sysctls and interface (CNI-04)', { skip }, async () => {
    using world = new World();
    const { pod, config, kept, settings } = pair(world);
    const before = [settings(), sysctl(pod.netns, 'net.core.somaxconn')];
    const sysctls = { 'net.core.somaxconn': '511' };
    await failureOf(call(subject, 'ADD', config({ sysctl: { ...sysctls, 'net.no.such': '1' } }), pod));
    await failureOf(call(subject, 'ADD', config({ sysctl: sysctls, mac: MAC, mtu: 1 }), pod));
    assert.deepEqual([settings(), sysctl(pod.netns, 'net.core.somaxconn')], before);
    assert.deepEqual(kept(), []);
  });

  test('DEL without a namespace removes the file; a damaged one too', { skip }, async () => {
    using world = new World();
    const { pod, config, kept, dataDir } = pair(world);
    await call(subject, 'ADD', config({ mtu: 1400 }), pod);
    await call(subject, 'DEL', config({}), { netns: '/no/such/netns' });
    assert.deepEqual(kept(), []);
    writeFileSync(join(dataDir, 'c1_eth0.json'), '{"mtu":');
    await call(subject, 'DEL', config({}), pod);
    assert.deepEqual(kept(), []);
  });

  test('a second ADD keeps what was before the first (CNI-03)', { skip }, async () => {
    using world = new World();
    const { pod, config, settings } = pair(world);
    const before = settings();
    await call(subject, 'ADD', config({ mac: MAC, mtu: 1400 }), pod);
    await call(subject, 'ADD', config({ mac: MAC, mtu: 1300, promisc: true }), pod);
    await call(subject, 'DEL', config({}), pod);
    assert.deepEqual(settings(), before);
  });

  test('a late DEL does not touch the new owner of the namespace or of the file', { skip }, async () => {
    using world = new World();
    const { pod, config, kept, settings } = pair(world);
    await call(subject, 'ADD', config({ mtu: 1400 }), pod);
    // The pod is gone, and another one has its namespace.
    run('ip', 'link', 'del', 'host-a');
    const words = 'link add host-b type veth peer name eth0 mtu 1300 netns';
    run('ip', ...words.split(' '), pod.netns);
    const theirs = settings();
    await call(subject, 'DEL', config({}), pod);
    assert.deepEqual([settings(), kept()], [theirs, []]);
    // The container is in another network now.
    await call(subject, 'ADD', config({ name: 'othernet', mtu: 1200 }), pod);
    const tuned = settings();
    await call(subject, 'DEL', config({}), pod);
    assert.deepEqual([settings(), kept()], [tuned, ['c1_eth0.json']]);
    await call(subject, 'DEL', config({ name: 'othernet' }), pod);
    assert.deepEqual([settings(), kept()], [theirs, []]);
  });

  test('GC removes files of this network that have no owner', { skip }, async () => {
    using world = new World();
    const { pod, config, kept, dataDir } = pair(world);
    const { pod: second } = pair(world, 'b');
    await call(subject, 'ADD', config({ mtu: 1400 }), { ...pod, containerID: 'keep' });
    await call(subject, 'ADD', config({ mtu: 1400 }), { ...second, containerID: 'lost' });
    writeFileSync(join(dataDir, 'ref_eth0.json'), '{"mtu":1500}');
    writeFileSync(join(dataDir, 'other'), '');
    await call(subject, 'GC', config({ name: 'othernet' }), { validAttachments: [] });
    assert.equal(kept().length, 4);
    const validAttachments = [{ containerID: 'keep', ifName: 'eth0' }];
    await call(subject, 'GC', config({}), { validAttachments });
    assert.deepEqual(kept(), ['keep_eth0.json', 'other', 'ref_eth0.json']);
    await call(subject, 'GC', config({ dataDir: join(world.dir, 'none') }), { validAttachments });
  });

  test('STATUS says what would keep ADD from working', { skip }, async () => {
    using world = new World();
    const { config } = pair(world);
    await call(subject, 'STATUS', config({ mtu: 1400 }));
    const error = await failureOf(call(subject, 'STATUS', config({ mtu: 1400, dataDir: '/proc/version/x' })));
    assert.deepEqual([error.number, error.msg.includes('/proc/version')], [50, true]);
    const wrong = await failureOf(call(subject, 'STATUS', config({ sysctl: { 'kernel.x': '1' } })));
    assert.match(wrong.message, /invalid net sysctl key/);
  });

  test('CHECK agrees with what a healthy pod does (CNI-17)', { skip }, async () => {
    using world = new World();
    const { pod, config } = pair(world);
    const wanted = config({
      mac: MAC.toUpperCase(),
      sysctl: { 'net.ipv4.ping_group_range': '0 100' },
    });
    const prevResult = await call(subject, 'ADD', wanted, pod);
    // As a packet capture in the pod does it.
    setLink(pod.netns, 'promisc', 'on');
    await call(subject, 'CHECK', wanted, { ...pod, prevResult });
  });
}

/** Keys and checks that Debian's reference is too old for. */
function newerKeys(subject: Subject): void {
  const skip = subject.isOurs ? false : 'Debian has the reference 1.1.1, which lacks it';

  test('txQLen alone, and of length 0', { skip }, async () => {
    using world = new World();
    const { pod, config, settings, kept } = pair(world);
    const before = settings();
    for (const wanted of [config({ txQLen: 0 }), config({ args: { cni: { txQLen: 5 } } })]) {
      await call(subject, 'ADD', wanted, pod);
      await call(subject, 'CHECK', wanted, pod);
      assert.notDeepEqual(settings(), before);
      await call(subject, 'DEL', wanted, pod);
      assert.deepEqual([settings(), kept()], [before, []]);
    }
  });

  test('only sysctls of the allowlist', { skip }, async () => {
    using world = new World();
    using _etc = writableEtc(world);
    const { pod, config, kept } = pair(world);
    mkdirSync('/etc/cni/tuning', { recursive: true });
    writeFileSync('/etc/cni/tuning/allowlist.conf', '\n ^net\\.core\\.[a-z]+$ \n^net/ipv4/conf/IFNAME/\n\n');
    const allowed = { 'net.core.somaxconn': '300', 'net/ipv4/conf/IFNAME/rp_filter': '2' };
    await call(subject, 'ADD', config({ sysctl: allowed }), pod);
    assert.equal(sysctl(pod.netns, 'net.core.somaxconn'), '300');
    const more = { 'net.core.somaxconn': '301', 'net.ipv4.conf.all.rp_filter': '2' };
    const error = await failureOf(call(subject, 'ADD', config({ sysctl: more, mtu: 1400 }), pod));
    assert.match(
      error.message,
      /Sysctl net\.ipv4\.conf\.all\.rp_filter is not allowed\. Only the following sysctls are allowed: \[\^net\\\.core\\\.\[a-z\]\+\$ \^net\/ipv4\/conf\/IFNAME\/\]/,
    );
    assert.deepEqual([sysctl(pod.netns, 'net.core.somaxconn'), kept()], ['300', []]);
    await failureOf(call(subject, 'STATUS', config({ sysctl: more })));
    await call(subject, 'ADD', config({ mtu: 1400 }), pod);
    writeFileSync('/etc/cni/tuning/allowlist.conf', 'a(\n');
    const broken = await failureOf(call(subject, 'ADD', config({ sysctl: allowed }), pod));
    assert.match(
      broken.message,
      /read \/etc\/cni\/tuning\/allowlist\.conf: "a\(": Invalid regular expression/,
    );
  });

  const isText = subject.isExecutable ? skip : 'in process there is no text that could have a key twice';
  test('a sysctl that is given twice', { skip: isText }, async () => {
    using world = new World();
    const { pod } = pair(world);
    const stdin = (sysctls: string) =>
      `{"cniVersion":"1.0.0","name":"n","type":"tuning","sysctl":{${sysctls}},"prevResult":${JSON.stringify({ cniVersion: '1.0.0', ...pod.prevResult })}}`;
    const add = (input: string) =>
      execFileSync(join(subject.pluginDirs[0]!, 'tuning'), {
        input,
        encoding: 'utf8',
        env: {
          ...process.env,
          CNI_COMMAND: 'ADD',
          CNI_CONTAINERID: 'c1',
          CNI_IFNAME: 'eth0',
          CNI_NETNS: pod.netns,
          CNI_PATH: subject.pluginDirs[0],
        },
      });
    add(stdin('"net.core.somaxconn":"200","net/core/somaxconn":"200"'));
    assert.throws(
      () => add(stdin('"net.core.somaxconn":"200","net.core.somaxconn":"300"')),
      (error: { stdout: string }) => error.stdout.includes('duplicated sysctl keys are not allowed'),
    );
    assert.equal(sysctl(pod.netns, 'net.core.somaxconn'), '200');
  });
}

/** /etc of this mount namespace, with changes that go when the test ends. */
function writableEtc(world: World): Disposable {
  // Not in a directory of the root file system, which may be an overlay itself.
  const base = join('/run', world.dir.split('/').at(-1)!);
  for (const dir of ['upper', 'work']) mkdirSync(join(base, dir), { recursive: true });
  const data = `lowerdir=/etc,upperdir=${base}/upper,workdir=${base}/work`;
  mount('/etc', { type: 'overlay', data });
  return { [Symbol.dispose]: () => unmount('/etc') };
}
