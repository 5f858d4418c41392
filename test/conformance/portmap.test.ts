import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Result } from '@amphipod/cni';
import { type Subject, subjects } from './lib/subjects.ts';
import { fetchFrom, podWithServer, serve, stopServers, untilServed } from './lib/web-servers.ts';
import { type Config, call, failureOf, inPod, run, World } from './lib/world.ts';

const portConfig = (portMappings: object[], more: object = {}): Config => ({
  type: 'portmap',
  runtimeConfig: { portMappings },
  ...more,
});

const tcp8080 = { hostPort: 8080, containerPort: 80, protocol: 'tcp' };

/** What of the ruleset belongs to this pod. */
function linesOf(subject: Subject, containerID: string, more: { backend?: string } = {}): string[] {
  const text =
    subject.isOurs && more.backend !== 'iptables'
      ? run('nft', 'list', 'ruleset')
      : run('iptables-save', '-t', 'nat');
  return text.split('\n').filter((line) => line.includes(containerID));
}

for (const subject of subjects) {
  describe(`portmap, ${subject.name}`, () => {
    test('without mappings the result passes through', async () => {
      const prevResult: Result = {
        interfaces: [{ name: 'eth0', sandbox: '/x' }],
        ips: [{ address: '10.99.0.2/24', interface: 0 }],
      };
      assert.deepEqual(
        await call(subject, 'ADD', { type: 'portmap' }, { netns: '/dummy', prevResult }),
        prevResult,
      );
      await call(subject, 'DEL', { type: 'portmap' }, { netns: '/dummy', prevResult });
    });

    test('refuses to be called alone, and bad ports (NET-13)', async () => {
      const alone = await failureOf(call(subject, 'ADD', portConfig([tcp8080]), { netns: '/dummy' }));
      assert.match(alone.message, /must be called as chained plugin/);
      const prevResult: Result = { ips: [{ address: '10.99.0.2/24' }] };
      const refused = async (mapping: object) =>
        (await failureOf(call(subject, 'ADD', portConfig([mapping]), { netns: '/dummy', prevResult })))
          .message;
      assert.match(await refused({ hostPort: -1, containerPort: 80 }), /Invalid host port number: -1/);
      assert.match(await refused({ hostPort: 80, containerPort: 0 }), /Invalid container port number: 0/);
    });

    throughEveryWay(subject, {});
    if (subject.isOurs) throughEveryWay(subject, { backend: 'iptables' });

    test('hostIP, and only packets to the machine itself (NET-12)', async (t) => {
      using world = new World();
      t.after(() => stopServers(world));
      t.after(() => run('ip', 'address', 'flush', 'dev', 'lo', 'to', '192.0.2.7'));
      const { netns, prevResult } = await podWithServer(subject, world, 'poda');
      const other = await podWithServer(subject, world, 'podb');
      run('ip', 'address', 'add', '192.0.2.7/32', 'dev', 'lo');
      const config = portConfig([
        { ...tcp8080, hostIP: '192.0.2.7' },
        { hostPort: 80, containerPort: 80, protocol: 'tcp' },
      ]);
      await call(subject, 'ADD', config, { containerID: 'poda', netns, prevResult });
      assert.equal(fetchFrom(other.netns, 'http://192.0.2.7:8080/'), 'poda');
      assert.equal(fetchFrom(other.netns, 'http://10.99.0.1:8080/'), undefined);
      const neighbour = other.prevResult.ips![0]!.address.split('/')[0];
      assert.equal(fetchFrom(netns, `http://${neighbour}:80/`), 'podb');
    });

    test('one pod goes, the others stay (NET-09); CHECK misses what a flush took (NET-10)', async (t) => {
      using world = new World();
      t.after(() => stopServers(world));
      const a = await podWithServer(subject, world, 'poda');
      const b = await podWithServer(subject, world, 'podb');
      const attachmentA = { containerID: 'poda', ...a };
      const attachmentB = { containerID: 'podb', ...b };
      const configA = portConfig([tcp8080]);
      const configB = portConfig([
        { ...tcp8080, hostPort: 8081 },
        { hostPort: 5353, containerPort: 53, protocol: 'udp' },
        { hostPort: 9999, containerPort: 99, protocol: 'sctp' },
      ]);
      await call(subject, 'ADD', configA, attachmentA);
      await call(subject, 'ADD', configB, attachmentB);
      await call(subject, 'DEL', configA, attachmentA);
      assert.equal(fetchFrom(undefined, 'http://127.0.0.1:8081/'), 'podb');
      if (subject.isOurs) {
        await call(subject, 'CHECK', configB, attachmentB);
        run('nft', 'flush', 'ruleset');
        const error = await failureOf(call(subject, 'CHECK', configB, attachmentB));
        assert.match(error.message, /nftables chains of amphipod_hostports not found/);
      }
      await call(subject, 'DEL', configB, attachmentB);
    });

    oursOnly(subject);
    if (subject.isOurs) for (const more of [{}, { backend: 'iptables' }]) lateCalls(subject, more);
  });
}

/** DEL of a pod whose address, and maybe port, a new pod has by now; DEL of what ADD refuses. */
function lateCalls(subject: Subject, more: { backend?: string }): void {
  const prevResult: Result = {
    interfaces: [{ name: 'eth0', sandbox: '/run/netns/x' }],
    ips: [
      { address: '10.99.0.2/24', interface: 0 },
      { address: 'fd00:99::2/64', interface: 0 },
    ],
  };
  const pod = (containerID: string) => ({ containerID, netns: '/dummy', prevResult });
  const name = JSON.stringify(more);

  test(`a late DEL leaves the ports of the new owner of the address alone: ${name}`, async () => {
    using _world = new World();
    const old = portConfig([tcp8080], more);
    const later = portConfig([{ ...tcp8080, hostPort: 8081 }], more);
    await call(subject, 'ADD', old, pod('poda'));
    await call(subject, 'ADD', later, pod('podb'));
    await call(subject, 'CHECK', later, pod('podb'));
    await call(subject, 'DEL', old, pod('poda'));
    assert.deepEqual(linesOf(subject, 'poda', more), []);
    await call(subject, 'CHECK', later, pod('podb'));
    for (const late of [pod('poda'), { containerID: 'poda' }]) await call(subject, 'DEL', old, late);
    await call(subject, 'CHECK', later, pod('podb'));
    await call(subject, 'DEL', later, pod('podb'));
    assert.deepEqual(linesOf(subject, 'podb', more), []);
  });

  test(`a late DEL leaves the very port alone that a new pod has: ${name}`, async () => {
    using _world = new World();
    const config = portConfig([tcp8080, { hostPort: 5353, containerPort: 53, protocol: 'udp' }], more);
    await call(subject, 'ADD', config, pod('poda'));
    await call(subject, 'GC', config, { validAttachments: [] });
    assert.deepEqual(linesOf(subject, 'poda', more), []);
    await call(subject, 'ADD', config, pod('podb'));
    for (const late of [pod('poda'), { containerID: 'poda' }]) await call(subject, 'DEL', config, late);
    await call(subject, 'CHECK', config, pod('podb'));
  });

  test(`DEL is content without tables, and with mappings that ADD refuses: ${name}`, async () => {
    using _world = new World();
    const config = portConfig([tcp8080], more);
    await call(subject, 'DEL', config, pod('poda'));
    await call(subject, 'ADD', config, pod('poda'));
    const broken = portConfig([{ ...tcp8080, hostPort: 0 }], more);
    await call(subject, 'DEL', broken, pod('podb'));
    assert.notDeepEqual(linesOf(subject, 'poda', more), []);
    await call(subject, 'DEL', broken, pod('poda'));
    assert.deepEqual(linesOf(subject, 'poda', more), []);
    run('nft', 'flush', 'ruleset');
    await call(subject, 'DEL', config, pod('poda'));
  });
}

test('ports lead to the first address of each family of the interface that ADD is for', async () => {
  using _world = new World();
  const sandbox = '/run/netns/x';
  const prevResult: Result = {
    interfaces: [{ name: 'tb0' }, { name: 'net1', sandbox }, { name: 'eth0', sandbox }],
    ips: [
      { address: '10.99.0.1/24', interface: 0 },
      { address: '10.99.0.2/24', interface: 1 },
      { address: '10.99.0.3/24', interface: 2 },
      { address: '10.99.0.4/24', interface: 2 },
    ],
  };
  const [inProcess] = subjects;
  await call(inProcess!, 'ADD', portConfig([tcp8080]), { netns: '/dummy', prevResult });
  const elements = run('nft', 'list', 'map', 'ip', 'amphipod_hostports', 'hostports');
  assert.match(elements, /tcp \. 8080 comment "[^"]*" : 10\.99\.0\.3 \. 80/);
});

function throughEveryWay(subject: Subject, more: { backend?: string }): void {
  const name = JSON.stringify(more);
  test(`TCP through every way, loopback too, DEL closes it (NET-13): ${name}`, async (t) => {
    using world = new World();
    t.after(() => stopServers(world));
    const { netns, prevResult } = await podWithServer(subject, world, 'poda');
    const other = await podWithServer(subject, world, 'podb');
    const config = portConfig([tcp8080], more);
    const attachment = { containerID: 'poda', netns, prevResult };
    assert.deepEqual(await call(subject, 'ADD', config, attachment), prevResult);
    // The reference (1.1.1) looks for the IPv4 rules in the IPv6 table.
    if (subject.isOurs) await call(subject, 'CHECK', config, attachment);
    assert.equal(run('sysctl', '-n', 'net.ipv4.conf.tb0.route_localnet').trim(), '1');

    // At once, on a bridge that is a moment old (NET-04). The reference's gateway and link-local address are tentative for
    // up to two seconds, in which the machine asks for no neighbour.
    const ipv6 = () => fetchFrom(other.netns, 'http://[fd00:99::1]:8080/');
    for (let tries = 0; !subject.isOurs && tries < 5 && ipv6() === undefined; tries++) await sleep(500);
    assert.equal(ipv6(), 'poda', 'IPv6');
    assert.equal(fetchFrom(undefined, 'http://127.0.0.1:8080/'), 'poda', 'from 127.0.0.1');
    assert.equal(fetchFrom(undefined, 'http://10.99.0.1:8080/'), 'poda', 'from the machine');
    assert.equal(fetchFrom(other.netns, 'http://10.99.0.1:8080/'), 'poda', 'from a neighbour');
    assert.equal(fetchFrom(netns, 'http://10.99.0.1:8080/'), 'poda', 'from itself (NET-03)');
    await call(subject, 'DEL', config, attachment);
    assert.equal(fetchFrom(undefined, 'http://127.0.0.1:8080/'), undefined);
    assert.equal(fetchFrom(other.netns, 'http://10.99.0.1:8080/'), undefined);
    assert.deepEqual(linesOf(subject, 'poda', more), []);
    await call(subject, 'DEL', config, attachment);
  });
}

function oursOnly(subject: Subject): void {
  const skip = subject.isOurs ? false : 'the reference does not do this';

  test('a host port that another pod has is refused, naming it; nothing is left', { skip }, async () => {
    using _world = new World();
    const first: Result = { ips: [{ address: '10.99.0.2/24' }] };
    const second: Result = { ips: [{ address: '10.99.0.3/24' }] };
    await call(subject, 'ADD', portConfig([tcp8080]), {
      containerID: 'poda',
      netns: '/dummy',
      prevResult: first,
    });
    const mappings = [{ ...tcp8080, hostPort: 9090 }, tcp8080];
    const error = await failureOf(
      call(subject, 'ADD', portConfig(mappings), {
        containerID: 'podb',
        netns: '/dummy',
        prevResult: second,
      }),
    );
    assert.equal(error.message, 'host port 8080 is in use already; it belongs to "cni testnet poda/eth0"');
    assert.deepEqual(linesOf(subject, 'podb'), []);
    assert.notDeepEqual(linesOf(subject, 'poda'), []);
    // The same with another address is no conflict.
    const other = portConfig([{ ...tcp8080, hostIP: '192.0.2.7' }]);
    await call(subject, 'ADD', other, { containerID: 'podb', netns: '/dummy', prevResult: second });
    await call(
      subject,
      'GC',
      { type: 'portmap' },
      { validAttachments: [{ containerID: 'podb', ifName: 'eth0' }] },
    );
    assert.deepEqual(linesOf(subject, 'poda'), []);
    assert.notDeepEqual(linesOf(subject, 'podb'), []);
  });

  test('a pod cannot reach what listens on 127.0.0.1', { skip }, async (t) => {
    using world = new World();
    t.after(() => stopServers(world));
    const { netns, prevResult } = await podWithServer(subject, world, 'poda');
    await call(subject, 'ADD', portConfig([tcp8080]), { containerID: 'poda', netns, prevResult });
    serve(world, '/proc/self/ns/net', [
      'busybox',
      'httpd',
      '-f',
      '-p',
      '127.0.0.1:7777',
      '-h',
      join(world.dir, 'www-poda'),
    ]);
    await untilServed(undefined, 'http://127.0.0.1:7777/');
    inPod(netns, 'sysctl', '-qw', 'net.ipv4.conf.all.route_localnet=1');
    inPod(netns, 'ip', 'route', 'add', '127.0.0.1', 'via', '10.99.0.1', 'table', '99');
    inPod(netns, 'ip', 'rule', 'add', 'priority', '1', 'to', '127.0.0.1', 'lookup', '99');
    inPod(netns, 'ip', 'rule', 'add', 'priority', '2', 'lookup', 'local');
    inPod(netns, 'ip', 'rule', 'del', 'priority', '0');
    assert.equal(fetchFrom(netns, 'http://127.0.0.1:7777/'), undefined);
  });

  test('an unknown protocol is named with its place (NET-13)', { skip }, async () => {
    const prevResult: Result = { ips: [{ address: '10.99.0.2/24' }] };
    const unknown = await failureOf(
      call(subject, 'ADD', portConfig([{ ...tcp8080, protocol: 'icmp' }]), { netns: '/dummy', prevResult }),
    );
    assert.equal(
      unknown.message,
      'key "runtimeConfig.portMappings[0].protocol": got "icmp", want "tcp", "udp" or "sctp"',
    );
  });
}
