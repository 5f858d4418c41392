import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCidr, parseIp } from '@amphipod/netlink';
import type { Lease } from './lease.ts';
import {
  annotationKeys,
  annotationsOf,
  type KubernetesNode,
  leaseOfNode,
  withOverwrites,
} from './node-lease.ts';

const keys = annotationKeys('flannel.alpha.coreos.com');

/** Annotations as flannel writes them (without their prefix), the node's podCIDRs, and what they mean. */
const fixtures: [podCIDRs: string[], annotations: Record<string, string>, lease: Lease][] = [
  [
    ['10.244.1.0/24'],
    {
      'backend-data': '{"VNI":1,"VtepMAC":"aa:bb:cc:00:01:02"}',
      'backend-type': 'vxlan',
      'kube-subnet-manager': 'true',
      'public-ip': '192.0.2.1',
    },
    {
      subnet: parseCidr('10.244.1.0/24'),
      attributes: {
        backendType: 'vxlan',
        publicIp: parseIp('192.0.2.1'),
        vtepMac: 'aa:bb:cc:00:01:02',
        vni: 1,
      },
    },
  ],
  [
    ['10.244.1.0/24', 'fc00:244:0:1::/64'],
    {
      'backend-data': '{"VNI":7,"VtepMAC":"aa:bb:cc:00:01:02"}',
      'backend-type': 'vxlan',
      'backend-v6-data': '{"VNI":7,"VtepMAC":"aa:bb:cc:00:01:03"}',
      'kube-subnet-manager': 'true',
      'public-ip': '192.0.2.1',
      'public-ipv6': '2001:db8::1',
    },
    {
      subnet: parseCidr('10.244.1.0/24'),
      ipv6Subnet: parseCidr('fc00:244:0:1::/64'),
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
    ['10.244.1.0/24'],
    {
      'backend-data': 'null',
      'backend-type': 'host-gw',
      'kube-subnet-manager': 'true',
      'public-ip': '192.0.2.1',
    },
    {
      subnet: parseCidr('10.244.1.0/24'),
      attributes: { backendType: 'host-gw', publicIp: parseIp('192.0.2.1') },
    },
  ],
  [
    ['10.244.1.0/24', 'fc00:244:0:1::/64'],
    {
      'backend-data': '{"PublicKey":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=","Port":51820}',
      'backend-type': 'wireguard',
      'backend-v6-data': '{"PublicKey":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=","Port":51821}',
      'kube-subnet-manager': 'true',
      'public-ip': '192.0.2.1',
      'public-ipv6': '2001:db8::1',
    },
    {
      subnet: parseCidr('10.244.1.0/24'),
      ipv6Subnet: parseCidr('fc00:244:0:1::/64'),
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
    ['fc00:244:0:1::/64'],
    {
      'backend-data': 'null',
      'backend-type': 'host-gw',
      'backend-v6-data': 'null',
      'kube-subnet-manager': 'true',
      'public-ip': '0.0.0.0',
      'public-ipv6': '2001:db8::1',
    },
    {
      ipv6Subnet: parseCidr('fc00:244:0:1::/64'),
      attributes: { backendType: 'host-gw', publicIpv6: parseIp('2001:db8::1') },
    },
  ],
];

function nodeOf(podCIDRs: string[], annotations: Record<string, string>): KubernetesNode {
  const named = Object.entries(annotations).map(([name, text]) => [`flannel.alpha.coreos.com/${name}`, text]);
  return {
    metadata: { name: 'a', annotations: Object.fromEntries(named) },
    spec: { podCIDR: podCIDRs[0]!, podCIDRs },
  };
}

test('annotations of nodes are those of flannel, byte for byte, both ways', () => {
  for (const [podCIDRs, annotations, lease] of fixtures) {
    const node = nodeOf(podCIDRs, annotations);
    assert.deepEqual(leaseOfNode(node, keys), lease);
    const written = Object.entries(annotationsOf(lease.attributes, keys)).filter(([, text]) => text !== null);
    assert.deepEqual(Object.fromEntries(written.toSorted()), node.metadata.annotations);
  }
});

test('VXLAN with IPv6 alone has nothing of IPv4; what a node had before is taken away', () => {
  const attributes = {
    backendType: 'vxlan',
    publicIpv6: parseIp('2001:db8::1'),
    ipv6VtepMac: 'aa:bb:cc:00:01:03',
    vni: 1,
  };
  assert.deepEqual(annotationsOf(attributes, annotationKeys('example.com/east')), {
    'example.com/east-kube-subnet-manager': 'true',
    'example.com/east-backend-type': 'vxlan',
    'example.com/east-backend-data': null,
    'example.com/east-public-ip': null,
    'example.com/east-backend-v6-data': '{"VNI":1,"VtepMAC":"aa:bb:cc:00:01:03"}',
    'example.com/east-public-ipv6': '2001:db8::1',
  });
});

test('a node that no flannel serves, or that has no subnet, has no lease', () => {
  const [[podCIDRs, annotations]] = fixtures as [[string[], Record<string, string>, Lease]];
  assert.equal(
    leaseOfNode(nodeOf(podCIDRs, { ...annotations, 'kube-subnet-manager': 'false' }), keys),
    undefined,
  );
  assert.equal(leaseOfNode({ metadata: { name: 'a' }, spec: { podCIDR: '10.244.1.0/24' } }, keys), undefined);
  for (const wrong of [[], ['10.244.1.0'], ['10.244.1.0/33'], ['']]) {
    assert.equal(leaseOfNode(nodeOf(wrong, annotations), keys), undefined);
  }
  const { podCIDRs: _, ...spec } = nodeOf(podCIDRs, annotations).spec!;
  // The older form of the same.
  assert.equal(leaseOfNode({ ...nodeOf(podCIDRs, annotations), spec }, keys)?.subnet?.prefix, 24);
});

test('data that cannot be read is left out', () => {
  const annotations = {
    'kube-subnet-manager': 'true',
    'public-ip': 'x',
    'backend-data': '{',
    'backend-type': 'vxlan',
  };
  assert.deepEqual(leaseOfNode(nodeOf(['10.244.1.0/24'], annotations), keys), {
    subnet: parseCidr('10.244.1.0/24'),
    attributes: { backendType: 'vxlan' },
  });
});

test('an administrator can say at which addresses others reach the node', () => {
  const attributes = {
    backendType: 'host-gw',
    publicIp: parseIp('192.0.2.1'),
    publicIpv6: parseIp('2001:db8::1'),
  };
  const overwritten = { 'public-ip-overwrite': '203.0.113.9', 'public-ipv6-overwrite': '2001:db8::9' };
  assert.deepEqual(withOverwrites(attributes, nodeOf([], overwritten), keys), {
    backendType: 'host-gw',
    publicIp: parseIp('203.0.113.9'),
    publicIpv6: parseIp('2001:db8::9'),
  });
  assert.deepEqual(withOverwrites(attributes, nodeOf([], { 'public-ip-overwrite': '' }), keys), attributes);
  assert.throws(
    () => withOverwrites(attributes, nodeOf([], { 'public-ip-overwrite': '2001:db8::9' }), keys),
    {
      code: 'invalid-config',
      message:
        /node "a": annotation flannel\.alpha\.coreos\.com\/public-ip-overwrite: "2001:db8::9": not an IPv4/,
    },
  );
});

test('prefixes of annotations: a domain, or a domain with the beginning of the names', () => {
  assert.equal(annotationKeys('a.b')['public-ip'], 'a.b/public-ip');
  assert.equal(annotationKeys('a.b/')['public-ip'], 'a.b/public-ip');
  assert.equal(annotationKeys('a.b/c')['public-ip'], 'a.b/c-public-ip');
  assert.equal(annotationKeys('a.b/c-')['public-ip'], 'a.b/c-public-ip');
  for (const wrong of ['', 'ab', 'a.b/c/d', 'A.B', 'a.b/C']) {
    assert.throws(() => annotationKeys(wrong), { code: 'invalid-config', message: new RegExp(`"${wrong}"`) });
  }
});
