import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCidr, formatIp } from '@amphipod/netlink';
import { type FamilyNetwork, parseNetworkConfig } from './network-config.ts';

const backend = { Type: 'vxlan' };
const parse = (config: object) =>
  parseNetworkConfig(JSON.stringify({ Backend: backend, ...config }), 'a.json');

function describe(family: FamilyNetwork | undefined): string {
  if (family === undefined) return 'none';
  const { network, subnetPrefix, first, last } = family;
  return `${formatCidr(network)} /${subnetPrefix} ${formatIp(first)} ${formatIp(last)}`;
}

test('subnets of IPv4: the length is worked out, the first subnet is left out', () => {
  const cases: [object, string][] = [
    [{ Network: '10.3.0.0/16' }, '10.3.0.0/16 /24 10.3.1.0 10.3.255.0'],
    [{ Network: '10.3.4.5/16' }, '10.3.0.0/16 /24 10.3.1.0 10.3.255.0'],
    [{ Network: '10.3.0.0/22' }, '10.3.0.0/22 /24 10.3.1.0 10.3.3.0'],
    [{ Network: '10.3.0.0/23' }, '10.3.0.0/23 /25 10.3.0.128 10.3.1.128'],
    [{ Network: '10.3.0.0/28' }, '10.3.0.0/28 /30 10.3.0.4 10.3.0.12'],
    [{ Network: '10.3.0.0/16', SubnetLen: 28 }, '10.3.0.0/16 /28 10.3.0.16 10.3.255.240'],
    [
      { Network: '10.3.0.0/16', SubnetMin: '10.3.5.0', SubnetMax: '10.3.8.0' },
      '10.3.0.0/16 /24 10.3.5.0 10.3.8.0',
    ],
    [{ network: '10.3.0.0/16', SUBNETLEN: 25 }, '10.3.0.0/16 /25 10.3.0.128 10.3.255.128'],
  ];
  for (const [config, expected] of cases) assert.equal(describe(parse(config).ipv4), expected);
});

test('subnets of IPv6, and of both families', () => {
  const both = parse({ Network: '10.3.0.0/16', EnableIPv6: true, IPv6Network: 'fc00::/48' });
  assert.equal(describe(both.ipv4), '10.3.0.0/16 /24 10.3.1.0 10.3.255.0');
  assert.equal(describe(both.ipv6), 'fc00::/48 /64 fc00:0:0:1:: fc00:0:0:ffff::');
  const ipv6 = { EnableIPv4: false, EnableIPv6: true, IPv6Network: 'fc00::/48' };
  assert.equal(describe(parse(ipv6).ipv4), 'none');
  assert.equal(
    describe(parse({ ...ipv6, IPv6SubnetLen: 120 }).ipv6),
    'fc00::/48 /120 fc00::100 fc00::ffff:ffff:ffff:ffff:ff00',
  );
});

const wireguard = { Type: 'wireguard' };

test('a configuration that cannot be used is refused with its key and value', () => {
  const network = '10.3.0.0/16';
  const cases: [object, RegExp][] = [
    [{}, /Network: must be an IPv4 network/],
    [{ Network: 'fc00::/48' }, /Network: "fc00::\/48": must be an IPv4 network/],
    [{ Network: '10.3.0.0/29' }, /Network: "10\.3\.0\.0\/29": is too small: .* \/28/],
    [{ Network: network, SubnetLen: 31 }, /SubnetLen: 31: must be at most 30/],
    [{ Network: network, SubnetLen: 17 }, /SubnetLen: 17: must be at least 18/],
    [{ Network: network, SubnetLen: '24' }, /SubnetLen: "24": must be a whole number/],
    [{ Network: network, SubnetMin: '10.4.0.0' }, /SubnetMin: "10\.4\.0\.0": is not in the network/],
    [{ Network: network, SubnetMin: '10.3.5.1' }, /SubnetMin: "10\.3\.5\.1": is not the first address/],
    [{ Network: network, SubnetMax: '10.3.5.1' }, /SubnetMax: "10\.3\.5\.1": is not the first address/],
    [
      { Network: network, SubnetMin: '10.3.5.0', SubnetMax: '10.3.4.0' },
      /SubnetMax: "10\.3\.4\.0": is before SubnetMin/,
    ],
    [{ Network: network, EnableIPv6: true }, /IPv6Network: must be an IPv6 network/],
    [{ EnableIPv4: false }, /EnableIPv4: false: no address family is left/],
    [{ Network: network, Backend: { Type: 'udp' } }, /Backend\.Type: "udp": must be "vxlan", "host-gw" or/],
    [
      { Network: network, Backend: { ...wireguard, Mode: 'both' } },
      /Backend\.Mode: "both": must be one of separate, auto/,
    ],
    [
      { Network: network, Backend: { ...wireguard, ListenPort: 0 } },
      /Backend\.ListenPort: 0: must be in 1 to 65535/,
    ],
    [
      { Network: network, Backend: { ...wireguard, PSK: 'secret' } },
      /Backend\.PSK: must be 32 bytes in base64$/,
    ],
    [{ Network: network, Backend: undefined }, /Backend: must be given/],
    [{ Network: network, Backend: { ...backend, VNI: 0 } }, /Backend\.VNI: 0: must be in 1 to 16777215/],
    [{ Network: network, Backend: { ...backend, Port: 65536 } }, /Backend\.Port: 65536: must be in 0/],
    [{ Network: network, Backend: { ...backend, GBP: 1 } }, /Backend\.GBP: 1: must be true or false/],
  ];
  for (const [config, message] of cases) {
    assert.throws(() => parse(config), { code: 'invalid-config', message });
  }
  for (const text of ['', '[]', '{"Network"']) {
    assert.throws(() => parseNetworkConfig(text, '/etc/net-conf.json'), {
      code: 'invalid-config',
      message: /read network config "\/etc\/net-conf\.json"/,
    });
  }
});

test('settings of vxlan and their defaults', () => {
  const Network = '10.3.0.0/16';
  assert.deepEqual(parse({ Network }).backend, {
    type: 'vxlan',
    vni: 1,
    port: 0,
    mtu: 0,
    gbp: false,
    directRouting: false,
  });
  const Backend = { Type: 'vxlan', VNI: 4096, Port: 4789, MTU: 1400, GBP: true, DirectRouting: true };
  assert.deepEqual(parse({ Network, Backend }).backend, {
    type: 'vxlan',
    vni: 4096,
    port: 4789,
    mtu: 1400,
    gbp: true,
    directRouting: true,
  });
  assert.deepEqual(parse({ Network, Backend: { Type: 'host-gw' } }).backend, { type: 'host-gw' });
});

test('settings of wireguard and their defaults', () => {
  const Network = '10.3.0.0/16';
  const usual = {
    type: 'wireguard',
    listenPort: 51_820,
    listenPortV6: 51_821,
    mtu: 0,
    mode: 'separate',
    keepaliveSeconds: 0,
  };
  assert.deepEqual(parse({ Network, Backend: wireguard }).backend, usual);
  const PSK = Buffer.alloc(32, 1).toString('base64');
  const Backend = { ...wireguard, PSK, ListenPort: 1, ListenPortV6: 2, MTU: 1400, Mode: 'auto' };
  assert.deepEqual(parse({ Network, Backend: { ...Backend, PersistentKeepaliveInterval: 25 } }).backend, {
    type: 'wireguard',
    psk: PSK,
    listenPort: 1,
    listenPortV6: 2,
    mtu: 1400,
    mode: 'auto',
    keepaliveSeconds: 25,
  });
});
