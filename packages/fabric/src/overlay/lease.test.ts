import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCidr, parseIp } from '@amphipod/netlink';
import { formatAttributes, type Lease, leaseName, parseLease } from './lease.ts';

/** Keys and values as flannel writes them, and what they mean. */
const fixtures: [name: string, value: string, lease: Lease][] = [
  [
    '10.5.52.0-24',
    '{"PublicIP":"192.0.2.1","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"aa:bb:cc:00:01:02"}}',
    {
      subnet: parseCidr('10.5.52.0/24'),
      attributes: {
        backendType: 'vxlan',
        publicIp: parseIp('192.0.2.1'),
        vtepMac: 'aa:bb:cc:00:01:02',
        vni: 1,
      },
    },
  ],
  [
    '10.5.34.0-24&fc00:0:0:34::-64',
    '{"PublicIP":"192.0.2.1","PublicIPv6":"2001:db8::1","BackendType":"vxlan","BackendData":{"VNI":7,"VtepMAC":"aa:bb:cc:00:01:02"},"BackendV6Data":{"VNI":7,"VtepMAC":"aa:bb:cc:00:01:03"}}',
    {
      subnet: parseCidr('10.5.34.0/24'),
      ipv6Subnet: parseCidr('fc00:0:0:34::/64'),
      attributes: {
        backendType: 'vxlan',
        publicIp: parseIp('192.0.2.1'),
        publicIpv6: parseIp('2001:db8::1'),
        vtepMac: 'aa:bb:cc:00:01:02',
        ipv6VtepMac: 'aa:bb:cc:00:01:03',
        vni: 7,
      },
    },
  ],
  [
    '10.5.1.0-24',
    '{"PublicIP":"192.0.2.1","PublicIPv6":null,"BackendType":"host-gw"}',
    {
      subnet: parseCidr('10.5.1.0/24'),
      attributes: { backendType: 'host-gw', publicIp: parseIp('192.0.2.1') },
    },
  ],
  [
    '10.5.2.0-24&fc00:0:0:35::-64',
    '{"PublicIP":"192.0.2.1","PublicIPv6":"2001:db8::1","BackendType":"wireguard","BackendData":{"PublicKey":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=","Port":51820},"BackendV6Data":{"PublicKey":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=","Port":51821}}',
    {
      subnet: parseCidr('10.5.2.0/24'),
      ipv6Subnet: parseCidr('fc00:0:0:35::/64'),
      attributes: {
        backendType: 'wireguard',
        publicIp: parseIp('192.0.2.1'),
        publicIpv6: parseIp('2001:db8::1'),
        publicKey: Buffer.alloc(32, 1).toString('base64'),
        ipv6PublicKey: Buffer.alloc(32, 1).toString('base64'),
        port: 51_820,
        ipv6Port: 51_821,
      },
    },
  ],
  [
    '10.5.3.0-24',
    '{"PublicIP":"192.0.2.1","PublicIPv6":null,"BackendType":"wireguard","BackendData":{"PublicKey":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="}}',
    {
      subnet: parseCidr('10.5.3.0/24'),
      attributes: {
        backendType: 'wireguard',
        publicIp: parseIp('192.0.2.1'),
        publicKey: Buffer.alloc(32, 1).toString('base64'),
      },
    },
  ],
  [
    '0.0.0.0-0&fc00:0:0:34::-64',
    '{"PublicIP":"0.0.0.0","PublicIPv6":"2001:db8::1","BackendType":"host-gw"}',
    {
      ipv6Subnet: parseCidr('fc00:0:0:34::/64'),
      attributes: { backendType: 'host-gw', publicIpv6: parseIp('2001:db8::1') },
    },
  ],
];

test('keys and values of leases are those of flannel, byte for byte, both ways', () => {
  for (const [name, value, lease] of fixtures) {
    assert.deepEqual(parseLease(`/coreos.com/network/subnets/${name}`, value), lease);
    assert.equal(leaseName(lease), name);
    assert.equal(formatAttributes(lease.attributes), value);
  }
});

test('what is no lease is none', () => {
  const [[name, value]] = fixtures as [[string, string, Lease]];
  for (const key of [
    'config',
    '10.5.52.0',
    '10.5.52-24',
    '10.5.52.0-33',
    `${name}&fc00::-129`,
    '999.5.52.0-24',
  ]) {
    assert.equal(parseLease(`/n/subnets/${key}`, value), undefined);
  }
  for (const text of ['', 'null', '7', '{']) assert.equal(parseLease(`/n/subnets/${name}`, text), undefined);
});

test('a lease with data of another kind keeps what can be read', () => {
  const value = '{"PublicIP":7,"BackendType":"wireguard","BackendData":{"PublicKey":"x"}}';
  assert.deepEqual(parseLease('/n/subnets/10.5.52.0-24', value), {
    subnet: parseCidr('10.5.52.0/24'),
    attributes: { backendType: 'wireguard' },
  });
});
