import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Result } from '@amphipod/cni';
import { bridgeConfig } from './lib/configs.ts';
import { type Subject, subjects } from './lib/subjects.ts';
import { addresses, type Config, call, failureOf, inPod, link, links, run, World } from './lib/world.ts';

const portmap: Config = {
  type: 'portmap',
  snat: true,
  runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] },
};

/** Something that answers "hello" on TCP port 80 in a pod. */
class Server implements AsyncDisposable {
  readonly #process: ChildProcess;

  constructor(netns: string) {
    this.#process = spawn(
      'nsenter',
      [`--net=${netns}`, 'busybox', 'nc', '-ll', '-p', '80', '-e', 'echo', 'hello'],
      { stdio: 'ignore' },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill();
    await once(this.#process, 'exit');
  }
}

async function connects(netns: string | undefined, target: string, port: number): Promise<boolean> {
  const enter = netns === undefined ? [] : ['nsenter', `--net=${netns}`];
  const [program, ...args] = [...enter, 'busybox', 'nc', '-w', '1', target, `${port}`];
  // The server needs a moment at first.
  for (let tries = 0; tries < 3; tries++) {
    try {
      if (run(program!, ...args).includes('hello')) return true;
    } catch {
      // Refused or timed out.
    }
    await sleep(200);
  }
  return false;
}

/** The kernel's br_netfilter translates addresses on the bridge, so that the way back is that through the same port. */
function filtersBridged(): boolean {
  const path = '/proc/sys/net/bridge/bridge-nf-call-iptables';
  return existsSync(path) && readFileSync(path, 'latin1').trim() === '1';
}

for (const subject of subjects) {
  describe(`traffic over a bridge, ${subject.name}`, () => {
    for (const mode of [{ hairpinMode: true }, { promiscMode: true }, {}]) {
      test(`a pod and its own host port: ${Object.keys(mode)[0] ?? 'neither mode'} (NET-03)`, async () => {
        using world = new World();
        run('ip', 'link', 'set', 'lo', 'up');
        const [a, b] = [world.netns('a'), world.netns('b')];
        const config = bridgeConfig(world, mode);
        const result = await call(subject, 'ADD', config, { netns: a });
        await call(subject, 'ADD', portmap, { netns: a, prevResult: result });
        await call(subject, 'ADD', config, { containerID: 'b', netns: b });
        await using _server = new Server(a);
        assert.ok(await connects(undefined, '10.99.0.2', 80), 'from the host');
        assert.ok(await connects(b, '10.99.0.1', 8080), 'a neighbour, by the host port');
        const isReached = 'hairpinMode' in mode || !filtersBridged();
        assert.equal(await connects(a, '10.99.0.1', 8080), isReached, 'the pod itself, by its host port');
      });
    }

    test('isolated pods reach the machine only', async () => {
      using world = new World();
      const [a, b] = [world.netns('a'), world.netns('b')];
      const config = bridgeConfig(world, { portIsolation: true });
      await call(subject, 'ADD', config, { netns: a });
      await call(subject, 'ADD', config, { containerID: 'b', netns: b });
      await using _server = new Server(b);
      assert.ok(await connects(undefined, '10.99.0.3', 80));
      // Debian's reference (1.1.1) does not know the key.
      assert.equal(await connects(a, '10.99.0.3', 80), !subject.isOurs);
    });

    test('an IPv4 pod where IPv6 is switched off (NET-04)', async () => {
      using world = new World();
      const netns = world.netns('a');
      for (const enter of [[], ['nsenter', `--net=${netns}`]]) {
        const [program, ...args] = [...enter, 'sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=1'];
        run(program!, ...args, 'net.ipv6.conf.default.disable_ipv6=1');
      }
      try {
        const prevResult = await call(subject, 'ADD', bridgeConfig(world), { netns });
        await call(subject, 'CHECK', bridgeConfig(world), { netns, prevResult });
        await call(subject, 'DEL', bridgeConfig(world), { netns, prevResult });
      } finally {
        run('sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=0', 'net.ipv6.conf.default.disable_ipv6=0');
      }
    });

    test('an IPv6 address is usable at once, with hairpin mode too (NET-04)', async () => {
      using world = new World();
      const netns = world.netns('a');
      const ipam = { type: 'host-local', subnet: 'fd00:99::/64', dataDir: world.dataDir };
      for (const [containerID, enabledad] of [
        ['plain', false],
        ['dad', true],
      ] as const) {
        const ifName = containerID;
        // Debian's reference (1.1.1) always has duplicate detection, and hears itself on a hairpin port.
        const more = { hairpinMode: subject.isOurs, enabledad, ipam };
        await call(subject, 'ADD', bridgeConfig(world, more), { containerID, netns, ifName });
        const global = link(ifName, netns)!.addr_info.filter(({ scope }) => scope === 'global');
        assert.equal(global.length, 1);
        assert.ok(global.every(({ tentative }) => !tentative));
        if (!subject.isOurs) continue;
        const setting = (key: string) =>
          inPod(netns, 'sysctl', '-n', `net.ipv6.conf.${ifName}.${key}`).trim();
        assert.equal(setting('accept_dad'), enabledad ? '1' : '0');
        if (enabledad) assert.equal(setting('enhanced_dad'), '1');
        assert.equal(setting('keep_addr_on_down'), '1');
      }
    });

    if (subject.isOurs) oursOnly(subject);
  });
}

function oursOnly(subject: Subject): void {
  test('an old subnet on the bridge: nothing is left, IPv6 too (NET-05)', async () => {
    using world = new World();
    run('ip', 'link', 'add', 'tb0', 'type', 'bridge');
    run('ip', 'link', 'set', 'tb0', 'up');
    run('ip', 'address', 'add', 'fd00:99::5/48', 'dev', 'tb0', 'nodad');
    run('ip', 'address', 'add', 'fd00:77::1/64', 'dev', 'tb0', 'nodad');
    const before = run('ip', '-o', 'address', 'show', 'dev', 'tb0', 'scope', 'global');
    const netns = world.netns('a');
    const ipam = { type: 'host-local', subnet: 'fd00:99::/64', dataDir: world.dataDir };
    const error = await failureOf(call(subject, 'ADD', bridgeConfig(world, { ipam }), { netns }));
    assert.match(error.message, /"tb0" already has an IP address different from fd00:99::1\/64/);
    assert.match(error.details, /it has fd00:99::5\/48; forceAddress would replace it/);
    assert.equal(run('ip', '-o', 'address', 'show', 'dev', 'tb0', 'scope', 'global'), before);
    assert.deepEqual(
      links()
        .map(({ ifname }) => ifname)
        .sort(),
      ['lo', 'tb0'],
    );
    assert.deepEqual(world.reservations('testnet'), []);
    await call(subject, 'ADD', bridgeConfig(world, { ipam, forceAddress: true }), { netns });
    assert.deepEqual(addresses('tb0').sort(), ['fd00:77::1/64', 'fd00:99::1/64']);
  });

  test('thirty pods at once, round after round (NET-06)', async () => {
    using world = new World();
    const [pods, rounds] = subject.isExecutable ? [8, 1] : [30, 6];
    const netns = Array.from({ length: pods }, (_, i) => world.netns(`n${i}`));
    for (let round = 0; round < rounds; round++) {
      const config = bridgeConfig(world, { bridge: `tb${round}` });
      const attachments = netns.map((path, i) => ({ containerID: `c${round}-${i}`, netns: path }));
      const results = await Promise.all(
        attachments.map((attachment) => call(subject, 'ADD', config, attachment)),
      );
      assert.deepEqual(addresses(`tb${round}`), ['10.99.0.1/24']);
      await Promise.all(
        attachments.map((attachment, i) =>
          call(subject, 'CHECK', config, { ...attachment, prevResult: results[i]! }),
        ),
      );
      await Promise.all(
        attachments.map((attachment, i) =>
          call(subject, 'DEL', config, { ...attachment, prevResult: results[i]! }),
        ),
      );
      run('ip', 'link', 'del', `tb${round}`);
    }
    assert.deepEqual(
      links().map(({ ifname }) => ifname),
      ['lo'],
    );
    assert.deepEqual(world.reservations('testnet'), []);
  });

  test('fifty failed ADDs leave nothing; the error says which range (CNI-09)', async () => {
    using world = new World();
    const [first, second] = [world.netns('a'), world.netns('b')];
    const base = bridgeConfig(world);
    const ipam = { ...base.ipam!, rangeStart: '10.99.0.2', rangeEnd: '10.99.0.2' };
    const config = { ...base, ipam };
    await call(subject, 'ADD', config, { containerID: 'a', netns: first });
    const before = links().length;
    for (let i = 0; i < (subject.isExecutable ? 3 : 50); i++) {
      const error = await failureOf(call(subject, 'ADD', config, { containerID: `b${i}`, netns: second }));
      assert.match(error.message, /no IP addresses available in range set: 10\.99\.0\.2-10\.99\.0\.2/);
    }
    const twice = await failureOf(call(subject, 'ADD', config, { containerID: 'c', netns: first }));
    assert.match(twice.message, /container veth name \("eth0"\) already exists/);
    assert.equal(links().length, before);
    assert.equal(links(second).length, 1);
    assert.equal(run('bridge', 'link', 'show').trim().split('\n').length, 1);
  });

  test('CHECK agrees with healthy pods whatever others do, and sees each break (CNI-17)', async () => {
    using world = new World();
    const ipam = {
      type: 'host-local',
      ranges: [[{ subnet: '10.99.0.0/24' }], [{ subnet: 'fd00:99::/64' }]],
      routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
      dataDir: world.dataDir,
    };
    const config = bridgeConfig(world, { ipam, hairpinMode: true, portIsolation: true, ipMasq: true });
    const pod = { netns: world.netns('a') };
    const prevResult: Result = await call(subject, 'ADD', config, pod);
    const port = prevResult.interfaces![1]!.name;
    const check = () => call(subject, 'CHECK', config, { ...pod, prevResult });
    await check();
    const other = { containerID: 'b', netns: world.netns('b') };
    const otherResult = await call(subject, 'ADD', config, other);
    await check();
    await call(subject, 'DEL', config, { ...other, prevResult: otherResult });
    // The host's end may get another hardware address: nobody uses it.
    run('ip', 'link', 'set', port, 'address', '02:00:00:00:00:77');
    await check();
    const bridgeLink = (...words: string[]) => run('bridge', 'link', 'set', 'dev', port, ...words);
    const breaks: [() => void, () => void, RegExp][] = [
      [() => bridgeLink('hairpin', 'off'), () => bridgeLink('hairpin', 'on'), /without hairpin mode/],
      [() => bridgeLink('isolated', 'off'), () => bridgeLink('isolated', 'on'), /without port isolation/],
      [
        () => run('ip', 'address', 'del', '10.99.0.1/24', 'dev', 'tb0'),
        () => run('ip', 'address', 'add', '10.99.0.1/24', 'dev', 'tb0'),
        /gateway address 10\.99\.0\.1\/24 of tb0 not found/,
      ],
      [
        () => run('ip', 'link', 'set', port, 'nomaster'),
        () => {
          run('ip', 'link', 'set', port, 'master', 'tb0');
          bridgeLink('hairpin', 'on', 'isolated', 'on');
        },
        /is no port of bridge tb0/,
      ],
      [
        () => run('ip', 'link', 'set', port, 'down'),
        () => run('ip', 'link', 'set', port, 'up'),
        new RegExp(`host interface ${port} is down`),
      ],
      [
        () => inPod(pod.netns, 'ip', '-6', 'route', 'del', 'default'),
        () => inPod(pod.netns, 'ip', '-6', 'route', 'add', 'default', 'via', 'fd00:99::1'),
        /Expected Route ::\/0 not found/,
      ],
      [() => run('ip', 'link', 'set', 'tb0', 'down'), () => {}, /bridge tb0 is down/],
    ];
    for (const [breakIt, mend, message] of breaks) {
      breakIt();
      const error = await failureOf(check());
      assert.match(error.message, message);
      assert.equal(error.number, 100);
      mend();
      if (message.source !== 'bridge tb0 is down') await check();
    }
  });

  test('STATUS fails when something else has the name of the bridge', async () => {
    using world = new World();
    await call(subject, 'STATUS', bridgeConfig(world));
    run('ip', 'link', 'add', 'tb0', 'type', 'veth', 'peer', 'name', 'tb0peer');
    const error = await failureOf(call(subject, 'STATUS', bridgeConfig(world)));
    assert.deepEqual([error.number, error.msg], [50, '"tb0" already exists but is not a bridge']);
  });
}
