import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { run } from '../conformance/lib/world.ts';
import { Networks, ports } from './cni-networks.ts';

describe('amphipod cni explain', () => {
  test('explain shows what an add then makes, and changes nothing itself', () => {
    using world = new Networks();
    writeFileSync('/proc/sys/net/ipv4/ip_forward', '0');
    const before = [run('ip', 'link'), run('nft', 'list', 'ruleset')];
    const { code, out, err } = world.amphipod(['explain', '-o', 'json', '--cap-args', ports, 'pods']);
    assert.equal(code, 0, err);
    assert.deepEqual([run('ip', 'link'), run('nft', 'list', 'ruleset')], before);
    assert.equal(existsSync(world.dataDir), false);
    const { changes, result, error } = JSON.parse(out);
    assert.equal(error, undefined);
    assert.equal(result.ips[0].address, '10.98.0.2/29');
    const told = (changes as { where: string; text: string }[]).map(({ where, text }) => `${where}: ${text}`);
    for (const expected of [
      /^host: cmd0 bridge up mtu 1500 /,
      /^host: 10\.98\.0\.1\/29 on cmd0$/,
      /^host: veth.* port of cmd0 "cni pods explain\/eth0"$/,
      /^host: .*tcp \. 18080 .*10\.98\.0\.2 \. 80/,
      /^host: net\.ipv4\.ip_forward = 1$/,
      /^pod: 10\.98\.0\.2\/29 on eth0$/,
      new RegExp(`^host: ${world.dataDir}/pods/10\\.98\\.0\\.2$`),
    ])
      assert.ok(
        told.some((line) => expected.test(line)),
        `${expected} in\n${told.join('\n')}`,
      );
  });

  test('explain: a parent that the machine has is imitated; what would fail is told', () => {
    using world = new Networks();
    run('ip', 'link', 'add', 'up0', 'mtu', '1400', 'type', 'veth', 'peer', 'name', 'up1');
    const macvlan = { type: 'macvlan', master: 'up0', ipam: { type: 'static', addresses: [] } };
    const file = world.write('20-m.conflist', { cniVersion: '1.0.0', name: 'm', plugins: [macvlan] });
    const failing = world.amphipod(['explain', file]);
    assert.equal(failing.code, 1);
    assert.match(failing.out, /An ADD would fail: .*IPAM plugin returned missing IP config/);
    macvlan.ipam = { type: 'static', addresses: [{ address: '10.97.0.9/24' }] as never[] };
    const { code, out } = world.amphipod([
      'explain',
      world.write('20-m.conflist', { cniVersion: '1.0.0', name: 'm', plugins: [macvlan] }),
    ]);
    assert.equal(code, 0, out);
    assert.match(out, /In the pod\n {2}\+ link {4}eth0 macvlan up mtu 1400 /);
    assert.match(out, /\+ address 10\.97\.0\.9\/24 on eth0\n/);
  });
});

describe('amphipod cni explain: plugins', () => {
  const ipam = { type: 'static', addresses: [{ address: '10.97.0.9/24', gateway: '10.97.0.1' }] };
  for (const [type, config, expected] of [
    ['ptp', { ipam }, /\+ route {3}10\.97\.0\.9 dev veth\w+ scope host/],
    ['tap', { ipam }, /\+ link {4}eth0 tun up/],
    ['host-device', { hwaddr: '0a:00:00:00:00:05', ipam }, /- link {4}dev0 veth/],
    ['bridge', { ipam: { type: 'dhcp' } }, /Note: no lease is taken from the DHCP server/],
    ['loopback', {}, /~ link {4}lo loopback up/],
  ] as [string, object, RegExp][]) {
    test(type, () => {
      using world = new Networks();
      run(
        'ip',
        'link',
        'add',
        'dev0',
        'address',
        '0a:00:00:00:00:05',
        'type',
        'veth',
        'peer',
        'name',
        'dev1',
      );
      const chain = [
        { type, ...config },
        { type: 'bandwidth', ingressRate: 8000, ingressBurst: 8000 },
        { type: 'firewall' },
        { type: 'tuning', sysctl: { 'net.core.somaxconn': '500' } },
      ];
      const plugins = type === 'ptp' ? chain : chain.slice(0, 1);
      const file = world.write('20-n.conflist', { cniVersion: '1.0.0', name: 'n', plugins });
      const { code, out, err } = world.amphipod(['explain', file]);
      assert.equal(code, 0, `${out}${err}`);
      assert.match(out, expected);
      if (type !== 'ptp') return;
      for (const behind of [
        /\+ tc {6}tbf .*rate 8Kbit/,
        /10\.97\.0\.9 .*accept/,
        /net\.core\.somaxconn = 500/,
      ])
        assert.match(out, behind);
    });
  }
});
