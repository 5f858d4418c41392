import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import { killQuietly } from '@amphipod/linux';
import { ownPluginDir, projectDir } from './support/amphipod.ts';
import { crictlFor, findCrictl, lacksCrictl } from './support/crictl.ts';
import { useServer } from './support/fixture.ts';
import { assertLeft, leftovers } from './support/leftovers.ts';
import { execText, type Pod, removePod, runPod, sandboxConfig, startContainer } from './support/pods.ts';
import { run, runAny } from './support/program.ts';
import { ScriptedPlugin } from './support/scripted-plugin.ts';
import { eventually } from './support/wait.ts';

const NETWORKS = 'k8s.v1.cni.cncf.io/networks';
const STATUS = 'k8s.v1.cni.cncf.io/network-status';

interface NetworkStatus {
  name: string;
  interface: string;
  ips: string[];
  mac?: string;
  default?: boolean;
}

/** Three networks of different plugins: a bridge of its own, a pair without a bridge, an interface on the LAN. */
function definitions(dir: string): Record<string, string> {
  const hostLocal = (subnet: string) => ({
    type: 'host-local',
    dataDir: `${dir}/ipam`,
    ranges: [[{ subnet }]],
  });
  const storage = {
    ...{ cniVersion: '1.1.0', name: 'storage' },
    plugins: [
      {
        ...{ type: 'bridge', bridge: 'critstor', isGateway: true, capabilities: { ips: true, mac: true } },
        ipam: { ...hostLocal('10.202.1.0/24'), capabilities: { ips: true } },
      },
      { type: 'tuning', sysctl: { 'net.ipv4.conf.IFNAME.arp_filter': '1' } },
    ],
  };
  const pair = { cniVersion: '1.0.0', type: 'ptp', ipam: hostLocal('10.202.2.0/24') };
  const lan = { cniVersion: '1.1.0', name: 'lan', type: 'macvlan', master: 'critlan0' };
  return {
    '10-storage.conflist': JSON.stringify(storage),
    '20-pair.yaml': `apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata:
  name: pair
  namespace: shop
spec:
  config: '${JSON.stringify(pair)}'
`,
    '30-lan.json': JSON.stringify({
      kind: 'NetworkAttachmentDefinition',
      metadata: { name: 'lan', namespace: 'shop' },
      spec: { config: JSON.stringify({ ...lan, ipam: { type: 'static' } }) },
    }),
    '50-slow.conflist': JSON.stringify({
      ...{ cniVersion: '1.1.0', name: 'slow' },
      plugins: [{ type: 'ptp', ipam: hostLocal('10.202.3.0/24') }, { type: ScriptedPlugin.type }],
    }),
    '40-broken.conflist': JSON.stringify({
      ...{ cniVersion: '1.1.0', name: 'broken' },
      plugins: [{ type: 'macvlan', master: 'nosuchlink' }],
    }),
  };
}

describe('pods with further networks', () => {
  let slow: ScriptedPlugin;
  const fixture = useServer('amphipod', (dir) => {
    mkdirSync(`${dir}/slow`);
    slow = new ScriptedPlugin(`${dir}/slow`);
    return {
      cniBinDirs: [ownPluginDir, slow.binDir],
      flags: ['--network-dir', `${dir}/networks.d`, '--failpoints'],
    };
  });
  before(async () => {
    const { dir } = fixture.server;
    mkdirSync(`${dir}/networks.d`);
    for (const [name, text] of Object.entries(definitions(dir)))
      writeFileSync(`${dir}/networks.d/${name}`, text);
    await run(['ip', 'link', 'add', 'critlan0', 'up', 'type', 'bridge']);
  });

  const metadata = { name: 'shopper', namespace: 'shop' };
  const podWith = (networks: string, given: object = {}) =>
    runPod(fixture.cri, { metadata, annotations: { [NETWORKS]: networks }, ...given });
  const status = async ({ id }: Pod): Promise<NetworkStatus[]> => {
    const { status: told } = await fixture.cri.podSandboxStatus({ podSandboxId: id, verbose: false });
    return JSON.parse(told!.annotations[STATUS] ?? '[]') as NetworkStatus[];
  };
  const links = async ({ id }: Pod) => {
    const netns = `--net=${fixture.server.dir}/state/sandboxes/${id}/net`;
    return (JSON.parse(await run(['nsenter', netns, 'ip', '-json', 'address'])) as { ifname: string }[])
      .map(({ ifname }) => ifname)
      .sort();
  };
  const amphipod = (...args: string[]) =>
    runAny([
      `${projectDir}/bin/amphipod`,
      ...args.slice(0, 2),
      '--socket',
      fixture.server.socket,
      ...args.slice(2),
    ]);

  test('three networks of different plugins: in order, with what was asked for, told, checked, removed', async () => {
    const nothing = await leftovers(fixture.server);
    const wanted = [
      { name: 'storage', ips: ['10.202.1.77'], mac: '02:00:00:00:01:77' },
      { name: 'pair' },
      { name: 'lan', interface: 'lan0', ips: ['192.168.7.7/24'], mac: '02:00:00:00:07:07' },
    ];
    const pod = await podWith(JSON.stringify(wanted));
    const told = await status(pod);
    assert.deepEqual(
      told.map(({ name, interface: ifName }) => `${name}@${ifName}`),
      ['crit2@eth0', 'shop/storage@net1', 'shop/pair@net2', 'shop/lan@lan0'],
    );
    assert.equal(told[0]!.default, true);
    assert.deepEqual([told[1]!.ips, told[1]!.mac], [['10.202.1.77'], '02:00:00:00:01:77']);
    assert.match(told[2]!.ips.join(), /^10\.202\.2\.\d+$/);
    assert.deepEqual([told[3]!.ips, told[3]!.mac], [['192.168.7.7'], '02:00:00:00:07:07']);
    const id = await startContainer(fixture.cri, pod, { image: fixture.image });
    assert.match(await execText(fixture.cri, id, ['ip', 'address', 'show', 'lan0']), /192\.168\.7\.7\/24/);
    assert.equal(await execText(fixture.cri, id, ['cat', '/proc/sys/net/ipv4/conf/net1/arp_filter']), '1\n');

    // The address that the pod is known by is still that of its first network.
    const { status: cri } = await fixture.cri.podSandboxStatus({ podSandboxId: pod.id, verbose: false });
    assert.deepEqual([cri!.network?.ip, cri!.network?.additionalIps], [told[0]!.ips[0], []]);

    const checked = await amphipod('net', 'check', pod.id);
    assert.deepEqual([checked.code, checked.stdout], [0, '4 checked, 0 wrong\n'], checked.stderr);
    await fixture.server.kill();
    await fixture.server.start();
    assert.deepEqual(await status(pod), told, 'after a restart');
    await removePod(fixture.cri, pod);
    await assertLeft(fixture.server, nothing);
  });

  test('crictl runs and removes such a pod', { skip: lacksCrictl }, async () => {
    const nothing = await leftovers(fixture.server);
    const crictl = crictlFor(findCrictl()!, fixture.server);
    const file = `${fixture.dir}/pod.json`;
    const config = sandboxConfig({ metadata });
    writeFileSync(
      file,
      JSON.stringify({
        metadata: { ...config.metadata, attempt: 0 },
        annotations: { [NETWORKS]: 'storage, shop/pair@data0, lan' },
        linux: { cgroup_parent: config.linux!.cgroupParent },
      }),
    );
    // A LAN address is the pod's to say; this definition has none.
    assert.match(await crictl.failing('runp', file), /macvlan.*IPAM plugin returned missing IP config/);
    await assertLeft(fixture.server, nothing, 'after a failure in the third network');

    const text = readFileSync(file, 'utf8').replace(', lan', ', storage@data1');
    writeFileSync(file, text);
    const id = (await crictl('runp', file)).trim();
    const { status: told } = await crictl.json<{ status: { annotations: Record<string, string> } }>(
      'inspectp',
      id,
    );
    assert.deepEqual(
      (JSON.parse(told.annotations[STATUS]!) as NetworkStatus[]).map((each) => each.interface),
      ['eth0', 'net1', 'data0', 'data1'],
    );
    await crictl('stopp', id);
    await crictl('rmp', id);
    await assertLeft(fixture.server, nothing);
  });

  test('a default route that the pod asks for leads through the further network only', async () => {
    const pod = await podWith(
      JSON.stringify([{ name: 'storage', 'default-route': ['10.202.1.1'] }, { name: 'pair' }]),
    );
    const id = await startContainer(fixture.cri, pod, { image: fixture.image });
    const routes = await execText(fixture.cri, id, ['ip', 'route']);
    assert.deepEqual(
      routes.split('\n').filter((line) => line.startsWith('default')),
      ['default via 10.202.1.1 dev net1 '],
    );
    const checked = await amphipod('net', 'check', pod.id);
    assert.equal(checked.stdout, '3 checked, 0 wrong\n', checked.stderr);
    await removePod(fixture.cri, pod);
  });

  test('what is wrong with a name fails the pod, which leaves nothing', async () => {
    const nothing = await leftovers(fixture.server);
    const cases: [string, RegExp][] = [
      ['nosuch', /find network "shop\/nosuch": it is not defined in .*networks\.d/],
      ['other/pair', /find network "other\/pair"/],
      ['storage@eth0', /the pod has an interface "eth0" already/],
      ['[{"name": 5}]', /read annotation "k8s\.v1\.cni\.cncf\.io\/networks": \[0\]\.name: want a string/],
      ['storage,broken', /failed to lookup master "nosuchlink"/],
    ];
    for (const [networks, message] of cases) {
      await assert.rejects(podWith(networks), { message }, networks);
      await assertLeft(fixture.server, nothing, networks);
    }
  });

  for (const end of ['fail', 'kill'] as const) {
    test(`CNI-19: the daemon ${end}s when all networks are attached: nothing is left`, async () => {
      const nothing = await leftovers(fixture.server);
      writeFileSync(`${fixture.server.dir}/state/failpoint`, `run-pod-sandbox.further-networks ${end}`);
      await assert.rejects(podWith('storage,pair'));
      if (end === 'kill') {
        await eventually('the end of the daemon', () => fixture.server.program().exitStatus());
        await fixture.server.start();
      }
      await assertLeft(fixture.server, nothing);
    });
  }

  test('networks of a running pod are attached and detached', async () => {
    const nothing = await leftovers(fixture.server);
    const pod = await runPod(fixture.cri, { metadata });
    const listed = async () => {
      const { stdout, stderr } = await amphipod('net', 'ls', pod.id, '-o', 'json');
      assert.equal(stderr, '');
      return (JSON.parse(stdout) as NetworkStatus[]).map(
        ({ name, interface: ifName }) => `${name}@${ifName}`,
      );
    };
    assert.deepEqual(await listed(), ['crit2@eth0']);
    const attached = await amphipod('net', 'attach', 'shop/shopper', 'storage,pair@data0');
    assert.equal(attached.code, 0, attached.stderr);
    assert.match(attached.stdout, /^shop\/storage +net1 +10\.202\.1\.\d+ /m);
    assert.deepEqual(await links(pod), ['data0', 'eth0', 'lo', 'net1']);

    const failed = await amphipod('net', 'attach', pod.id, 'storage,broken');
    assert.equal(failed.code, 125);
    assert.match(failed.stderr, /failed to lookup master "nosuchlink"/);
    assert.deepEqual(await links(pod), ['data0', 'eth0', 'lo', 'net1'], 'all or none');
    assert.match(
      (await amphipod('net', 'detach', pod.id, 'eth0')).stderr,
      /find network "eth0" of the pod: it has/,
    );

    assert.equal((await amphipod('net', 'detach', pod.id, 'storage')).code, 0);
    assert.deepEqual(await listed(), ['crit2@eth0', 'shop/pair@data0']);
    assert.deepEqual(await links(pod), ['data0', 'eth0', 'lo']);
    await amphipod('net', 'attach', pod.id, 'storage,storage');
    assert.match(
      (await amphipod('net', 'detach', pod.id, 'storage')).stderr,
      /it has several, say which: net1, net2/,
    );
    await removePod(fixture.cri, pod);
    await assertLeft(fixture.server, nothing);
  });

  test('a daemon that is killed while a network is attached to a running pod undoes that when it is back', async () => {
    const nothing = await leftovers(fixture.server);
    const pod = await podWith('pair');
    const before = await leftovers(fixture.server);
    slow.on('ADD', 'echo $$ >"$dir/new" && mv "$dir/new" "$dir/pid" && exec sleep 60');
    const attaching = amphipod('net', 'attach', pod.id, 'slow');
    const pidFile = `${slow.dir}/pid`;
    await eventually('the second plugin', () => existsSync(pidFile));
    assert.deepEqual(await links(pod), ['eth0', 'lo', 'net1', 'net2']);
    await fixture.server.kill();
    killQuietly(Number(readFileSync(pidFile, 'utf8')), 'SIGKILL');
    slow.on('ADD', undefined);
    assert.notEqual((await attaching).code, 0);
    await fixture.server.start();
    assert.deepEqual(await links(pod), ['eth0', 'lo', 'net1']);
    await assertLeft(fixture.server, before);
    await removePod(fixture.cri, pod);
    await assertLeft(fixture.server, nothing);
  });

  test('SRI-05: a pod goes although cache and definitions are gone, and twice is fine', async () => {
    const { dir } = fixture.server;
    const pod = await podWith('storage,pair');
    for (const name of readdirSync(`${dir}/cni-cache/results`)) rmSync(`${dir}/cni-cache/results/${name}`);
    const kept = readdirSync(`${dir}/networks.d`).map(
      (name) => [name, readFileSync(`${dir}/networks.d/${name}`)] as const,
    );
    for (const [name] of kept) rmSync(`${dir}/networks.d/${name}`);
    await fixture.cri.stopPodSandbox({ podSandboxId: pod.id });
    await fixture.cri.stopPodSandbox({ podSandboxId: pod.id });
    await removePod(fixture.cri, pod);
    for (const [name, text] of kept) writeFileSync(`${dir}/networks.d/${name}`, text);
    // What nobody could take away without a definition.
    const collected = await amphipod('net', 'gc');
    assert.equal(collected.code, 0, collected.stderr);
    assert.match(collected.stdout, /^storage$/m);
    const addresses = readdirSync(`${dir}/ipam/storage`).filter((name) => /^\d/.test(name));
    assert.deepEqual(addresses, []);
  });

  test('SRI-05: one network whose DEL fails does not keep the others, and the pod goes once it works', async () => {
    const nothing = await leftovers(fixture.server);
    const pod = await podWith('storage,pair');
    const { dir } = fixture.server;
    // host-local cannot take the address out of a directory that is none.
    const file = `${dir}/ipam/pair`;
    await run(['mv', file, `${file}.kept`]);
    writeFileSync(file, '');
    await assert.rejects(fixture.cri.stopPodSandbox({ podSandboxId: pod.id }));
    assert.deepEqual(
      readdirSync(`${dir}/ipam/storage`).filter((name) => /^\d/.test(name)),
      [],
      'the other network is detached',
    );
    rmSync(file);
    await run(['mv', `${file}.kept`, file]);
    await removePod(fixture.cri, pod);
    await assertLeft(fixture.server, nothing);
  });

  test('GC of all networks takes away what no pod has, and nothing else', async () => {
    const { dir } = fixture.server;
    const pod = await podWith('storage,pair');
    await run(['ip', 'netns', 'add', 'critstray']);
    await run([
      ...[`${projectDir}/bin/amphipod`, 'cni', 'add', 'storage', '/run/netns/critstray'],
      ...['--conf-dir', `${dir}/networks.d`, '--bin-dir', `${projectDir}/packages/plugins/bin`],
      ...['--cache-dir', `${dir}/cni-cache`, '--container-id', 'stray'],
    ]);
    const reserved = () => readdirSync(`${dir}/ipam/storage`).filter((name) => /^\d/.test(name)).length;
    assert.equal(reserved(), 2);
    const collected = await amphipod('net', 'gc');
    assert.equal(collected.code, 0, collected.stderr);
    assert.equal(reserved(), 1);
    assert.equal((await amphipod('net', 'check', pod.id)).stdout, '3 checked, 0 wrong\n');
    await run(['ip', 'netns', 'del', 'critstray']);
    await removePod(fixture.cri, pod);
  });

  test('CHECK says which network of which pod is wrong', async () => {
    const pod = await podWith('storage');
    const netns = `--net=${fixture.server.dir}/state/sandboxes/${pod.id}/net`;
    await run(['nsenter', netns, 'ip', 'address', 'flush', 'dev', 'net1']);
    const checked = await amphipod('net', 'check');
    assert.equal(checked.code, 1);
    assert.match(
      checked.stderr,
      new RegExp(`pod ${pod.id.slice(0, 12)}, network shop/storage, net1: .*Failed to find address`),
    );
    await removePod(fixture.cri, pod);
  });

  test('devices are listed without a runtime; a device plugin without pools, or with a wrong file, says so', async () => {
    const program = `${projectDir}/bin/amphipod`;
    const listed = await run([program, 'net', 'devices', '-o', 'json']);
    assert.ok(Array.isArray(JSON.parse(listed)), listed);
    const file = `${fixture.dir}/pools.json`;
    const plugin = () => runAny([program, 'device-plugin', '--pools', file]);
    assert.match(
      (await plugin()).stderr,
      /^amphipod: device-plugin: read devices .*pools\.json: there are no pools in it\n$/,
    );
    writeFileSync(file, '{"resourceList": [{"resourceName": "a", "selectors": {"vendor": ["8086"]}}]}');
    const { code, stderr } = await plugin();
    assert.equal(code, 125);
    assert.match(
      stderr,
      /pools\.json: resourceList\[0\]\.selectors\.vendor: not supported; known are vendors, /,
    );
  });

  test('a network that needs a device of a pool fails the pod when there is no such pool', async () => {
    const nothing = await leftovers(fixture.server);
    const definition = {
      kind: 'NetworkAttachmentDefinition',
      metadata: {
        ...{ name: 'fast', namespace: 'shop' },
        annotations: { 'k8s.v1.cni.cncf.io/resourceName': 'example.com/fast' },
      },
      spec: { config: '{"cniVersion": "1.1.0", "type": "sriov"}' },
    };
    writeFileSync(`${fixture.server.dir}/networks.d/60-fast.json`, JSON.stringify(definition));
    await assert.rejects(podWith('fast'), { message: /find device: no pool "example\.com\/fast" in / });
    const given = JSON.stringify([{ name: 'fast', deviceID: '0000:7f:00.0' }]);
    await assert.rejects(podWith(given), { message: /sriov.*0000:7f:00\.0: there is no such PCI device/ });
    await assertLeft(fixture.server, nothing);
  });
});
