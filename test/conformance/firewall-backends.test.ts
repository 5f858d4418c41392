import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Result } from '@amphipod/cni';
import { startFakeFirewalld } from './lib/fake-firewalld.ts';
import { subjects } from './lib/subjects.ts';
import { type Config, call, failureOf, run, World } from './lib/world.ts';

const firewall = (more: object = {}): Config => ({ type: 'firewall', ...more });
const prevResult: Result = {
  interfaces: [{ name: 'tb0' }, { name: 'eth0', sandbox: '/run/netns/x' }],
  ips: [
    { address: '10.99.0.2/24', interface: 1 },
    { address: 'fd00:99::2/64', interface: 1 },
  ],
};
const addresses = ['10.99.0.2/32', 'fd00:99::2/128'];
const pod = (containerID: string) => ({ containerID, netns: '/dummy', prevResult });
const BUS_SOCKET = '/run/dbus/system_bus_socket';
const [inProcess] = subjects;

for (const subject of subjects) {
  test(`firewalld, ${subject.name}: the addresses are sources of the zone until DEL`, async () => {
    using _world = new World();
    await using firewalld = await startFakeFirewalld(BUS_SOCKET);
    const config = firewall({ backend: 'firewalld', firewalldZone: 'internal' });
    assert.deepEqual(await call(subject, 'ADD', config, pod('poda')), prevResult);
    assert.deepEqual(
      [...firewalld.sources],
      addresses.map((address) => `internal ${address}`),
    );
    await call(subject, 'ADD', config, pod('poda'));
    await call(subject, 'CHECK', config, pod('poda'));
    // The reference (1.1.1) takes any answer for yes.
    if (subject.isOurs) {
      firewalld.sources.delete(`internal ${addresses[1]}`);
      const missing = await failureOf(call(subject, 'CHECK', config, pod('poda')));
      assert.match(missing.message, /failed to find the address fd00:99::2\/128 in internal zone/);
    }
    await call(subject, 'DEL', config, pod('poda'));
    await call(subject, 'DEL', config, pod('poda'));
    assert.deepEqual([...firewalld.sources], []);
    assert.doesNotMatch(run('iptables-save'), /10\.99/);
  });

  test(`firewalld, ${subject.name}: the zone "trusted" unless said otherwise, isolation by iptables`, async () => {
    using _world = new World();
    await using firewalld = await startFakeFirewalld(BUS_SOCKET);
    const config = firewall({ backend: 'firewalld', ingressPolicy: 'same-bridge' });
    await call(subject, 'ADD', config, pod('poda'));
    assert.deepEqual(
      [...firewalld.sources],
      addresses.map((address) => `trusted ${address}`),
    );
    assert.match(run('iptables', '-S', 'CNI-ISOLATION-STAGE-2'), /-o tb0 .* -j DROP/);
    assert.doesNotMatch(run('iptables-save'), /CNI-FORWARD/);
    await call(subject, 'CHECK', config, pod('poda'));
    await call(subject, 'DEL', config, pod('poda'));
  });

  test(`firewalld, ${subject.name}: taken where no backend is named and it runs`, async (t) => {
    using _world = new World();
    run('mount', '-t', 'tmpfs', 'tmpfs', '/etc/dbus-1/system.d');
    t.after(() => run('umount', '/etc/dbus-1/system.d'));
    writeFileSync('/etc/dbus-1/system.d/FirewallD.conf', '');
    await using firewalld = await startFakeFirewalld(BUS_SOCKET);
    await call(subject, 'ADD', firewall(), pod('poda'));
    assert.equal(firewalld.sources.size, 2);
    await call(subject, 'DEL', firewall(), pod('poda'));
    assert.equal(firewalld.sources.size, 0);
  });

  test(`firewalld, ${subject.name}: a zone that is none, and no firewalld at all`, async () => {
    using _world = new World();
    await using firewalld = await startFakeFirewalld(BUS_SOCKET);
    const config = firewall({ backend: 'firewalld', firewalldZone: 'missing' });
    const failure = await failureOf(call(subject, 'ADD', config, pod('poda')));
    assert.match(
      failure.message,
      /failed to add the address 10\.99\.0\.2\/32 to missing zone: .*INVALID_ZONE: missing/,
    );
    await firewalld[Symbol.asyncDispose]();
    await failureOf(call(subject, 'ADD', firewall({ backend: 'firewalld' }), pod('poda')));
    if (subject.isOurs) {
      const status = await failureOf(call(subject, 'STATUS', firewall({ backend: 'firewalld' })));
      assert.deepEqual([status.number, status.message], [50, 'firewalld does not run']);
      assert.doesNotMatch(run('nft', 'list', 'ruleset'), /10\.99/);
    }
  });
}

test('firewalld: a late DEL leaves the new owner of the address in the zone; GC', async () => {
  using _world = new World();
  await using firewalld = await startFakeFirewalld(BUS_SOCKET);
  const config = firewall({ backend: 'firewalld' });
  await call(inProcess!, 'ADD', config, pod('poda'));
  await call(inProcess!, 'ADD', config, pod('podb'));
  for (const late of [pod('poda'), { containerID: 'poda' }]) await call(inProcess!, 'DEL', config, late);
  assert.equal(firewalld.sources.size, 2);
  await call(inProcess!, 'GC', config, { validAttachments: [{ containerID: 'podb', ifName: 'eth0' }] });
  assert.equal(firewalld.sources.size, 2);
  await call(inProcess!, 'GC', config, { validAttachments: [] });
  assert.equal(firewalld.sources.size, 0);
});

for (const type of ['firewall', 'portmap']) {
  test(`${type}: STATUS is good with each backend that can be had, and tells when iptables cannot be run`, async (t) => {
    for (const backend of [{}, { backend: 'nftables' }, { backend: 'iptables' }])
      await call(inProcess!, 'STATUS', { type, ...backend });
    const program = run('readlink', '-f', '/usr/sbin/iptables-save').trim();
    run('mount', '--bind', '/dev/null', program);
    t.after(() => run('umount', program));
    await call(inProcess!, 'STATUS', { type });
    const status = await failureOf(call(inProcess!, 'STATUS', { type, backend: 'iptables' }));
    assert.deepEqual([status.number, /iptables-save/.test(status.message)], [50, true], status.message);
  });
}

test('rules that iptables-restore loaded anew lose their mark and are found by their address', async () => {
  using _world = new World();
  const a = pod('poda');
  await call(inProcess!, 'ADD', firewall(), a);
  run(
    'sh',
    '-c',
    'iptables-save -t filter > /tmp/saved.$$ && iptables-restore < /tmp/saved.$$; rm /tmp/saved.$$',
  );
  await call(inProcess!, 'CHECK', firewall(), a);
  await call(inProcess!, 'DEL', firewall(), a);
  assert.doesNotMatch(run('iptables-save'), /10\.99/);
});

test('a value that is none is refused with the key and what would be right', async () => {
  const refuse = async (more: object) => {
    const a = pod('poda');
    return (await failureOf(call(inProcess!, 'ADD', firewall(more), a))).message;
  };
  assert.match(await refuse({ backend: 'pf' }), /key "backend": got "pf", want "iptables", "nftables"/);
  assert.match(await refuse({ iptablesAdminChainName: 'two words' }), /key "iptablesAdminChainName"/);
  assert.match(await refuse({ iptablesAdminChainName: 'x'.repeat(29) }), /up to 28 characters/);
});
