import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { mount, unmount } from '@amphipod/linux';
import { type Subject, subjects } from './lib/subjects.ts';
import { MAC, pair, setLink, sysctl } from './lib/tuned-pod.ts';
import { call, failureOf, run, World } from './lib/world.ts';

for (const subject of subjects) {
  describe(`tuning beyond the reference, ${subject.name}`, () => {
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
