import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readDocuments } from './documents.ts';
import { formatJson, formatYaml } from './format-documents.ts';

/** What is wrong with a document, without the file's part. */
function problems(text: string): string[] {
  return readDocuments(text, 'a.yaml').map((read) => ('error' in read ? read.error.message : 'fine'));
}

function pool(spec: string, name = 'blue'): string {
  return `{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: ${name}}, spec: ${spec}}`;
}

test('a file has several documents; empty ones are passed over', () => {
  const text = `
apiVersion: projectcalico.org/v3
kind: IPPool
metadata:
  name: blue
spec:
  cidr: 10.0.0.0/16
---
# nothing
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: tor}
spec: {peerIP: 192.0.2.1, asNumber: "1.10"}
`;
  const read = readDocuments(text, 'a.yaml');
  assert.deepEqual(
    read.map((one) => ('resource' in one ? [one.where, one.resource.kind, one.resource.spec] : one.error)),
    [
      [
        '"a.yaml", document 1',
        'IPPool',
        {
          cidr: '10.0.0.0/16',
          vxlanMode: 'Never',
          ipipMode: 'Never',
          natOutgoing: false,
          disabled: false,
          disableBGPExport: false,
          blockSize: 26,
          nodeSelector: 'all()',
          allowedUses: ['Workload', 'Tunnel'],
          assignmentMode: 'Automatic',
        },
      ],
      ['"a.yaml", document 3', 'BGPPeer', { peerIP: '192.0.2.1', asNumber: 65546 }],
    ],
  );
});

test('lists: those of one kind, whose items need not name it, and those of any', () => {
  const typed = `{kind: IPReservationList, apiVersion: projectcalico.org/v3, items: [{metadata: {name: a}, spec: {reservedCIDRs: [10.0.0.1/32]}}]}`;
  const any = `{kind: List, apiVersion: v1, items: [${pool('{cidr: fd00::/48}')}, {kind: Nonsense}]}`;
  assert.deepEqual(problems(`${typed}\n---\n${any}`), [
    'fine',
    'fine',
    'read "a.yaml", document 2, item 2: kind: "Nonsense": is not known; there are IPPool, IPReservation, BGPConfiguration, BGPPeer, BGPFilter, Node, WorkloadEndpoint, ClusterInformation, IPAMConfiguration, BlockAffinity, IPAMBlock, IPAMHandle',
  ]);
});

test('names of CRDs are taken as well', () => {
  const text =
    '{apiVersion: crd.projectcalico.org/v1, kind: IPAMConfig, metadata: {name: default}, spec: {strictAffinity: true}}';
  assert.deepEqual(readDocuments(text, 'a'), [
    {
      where: '"a", document 1',
      resource: {
        kind: 'IPAMConfiguration',
        apiVersion: 'projectcalico.org/v3',
        metadata: { name: 'default' },
        spec: { strictAffinity: true },
      },
    },
  ]);
});

test('one bad document does not stop the others; what is no YAML is told with line and column', () => {
  assert.deepEqual(
    problems(`${pool('{cidr: 10.0.0.0/33}')}\n---\n${pool('{cidr: 10.0.0.0/24}')}\n---\na: [\n`),
    [
      'read "a.yaml", document 1 (IPPool "blue"): spec.cidr: "10.0.0.0/33": must be an IP network such as 10.0.0.0/16',
      'fine',
      'read "a.yaml", document 3: line 6, column 1: Flow sequence in block collection must be sufficiently indented and end with a ]',
    ],
  );
});

test('aliases cannot grow without bounds', () => {
  const bomb = [
    'a: &a [x,x,x,x,x,x,x,x,x]',
    ...'bcdefgh'.split('').map((name, i) => {
      const before = `*${'abcdefgh'[i]}`;
      return `${name}: &${name} [${Array(9).fill(before).join(',')}]`;
    }),
  ].join('\n');
  assert.match(problems(bomb)[0]!, /document 1: Excessive alias count/);
});

const refused: [what: string, spec: string, message: string][] = [
  ['no network', '{}', 'spec.cidr: must be given'],
  [
    'bits behind the prefix',
    '{cidr: 10.0.0.1/16}',
    'spec.cidr: "10.0.0.1/16": has bits behind its prefix; the network is 10.0.0.0/16',
  ],
  [
    'an unknown key',
    '{cidr: 10.0.0.0/16, blocksize: 26}',
    'spec.blocksize: no such key; there are cidr, vxlanMode, ipipMode, natOutgoing, disabled, disableBGPExport, blockSize, nodeSelector, namespaceSelector, allowedUses, assignmentMode',
  ],
  [
    'link-local addresses',
    '{cidr: 169.254.0.0/16}',
    'spec.cidr: "169.254.0.0/16": overlaps the link-local range 169.254.0.0/16',
  ],
  [
    'link-local addresses of IPv6',
    '{cidr: "fe80::/64"}',
    'spec.cidr: "fe80::/64": overlaps the link-local range fe80::/10',
  ],
  [
    'a block of the other family',
    '{cidr: "fd00::/48", blockSize: 26}',
    'spec.blockSize: 26: must be from 116 to 128 for IPv6',
  ],
  [
    'a pool smaller than a block',
    '{cidr: 10.0.0.0/27}',
    'spec.cidr: "10.0.0.0/27": is smaller than a block, /26',
  ],
  [
    'two encapsulations',
    '{cidr: 10.0.0.0/16, ipipMode: Always, vxlanMode: Always}',
    'spec.vxlanMode: "Always": cannot be with ipipMode Always: choose one',
  ],
  [
    'IPIP for IPv6',
    '{cidr: "fd00::/48", ipipMode: Always}',
    'spec.ipipMode: "Always": there is no IPIP for IPv6',
  ],
  [
    'a word that is none',
    '{cidr: 10.0.0.0/16, vxlanMode: always}',
    'spec.vxlanMode: "always": must be one of Never, Always, CrossSubnet',
  ],
  [
    'a wrong selector',
    '{cidr: 10.0.0.0/16, nodeSelector: "rack = 1"}',
    'spec.nodeSelector: "rack = 1": column 6: unexpected "="',
  ],
  [
    'global()',
    '{cidr: 10.0.0.0/16, nodeSelector: global()}',
    'spec.nodeSelector: "global()": global() has no meaning here',
  ],
  [
    'a load balancer among others',
    '{cidr: 10.0.0.0/16, allowedUses: [LoadBalancer, Tunnel]}',
    'spec.allowedUses: ["LoadBalancer","Tunnel"]: LoadBalancer must be the only use',
  ],
  [
    'a tunnel for namespaces',
    '{cidr: 10.0.0.0/16, allowedUses: [Tunnel], namespaceSelector: all()}',
    'spec.namespaceSelector: "all()": cannot be with the use Tunnel',
  ],
];

for (const [what, spec, message] of refused) {
  test(`an IPPool is refused for ${what}`, () => {
    assert.deepEqual(problems(pool(spec)), [`read "a.yaml", document 1 (IPPool "blue"): ${message}`]);
  });
}

const others: [kind: string, spec: string, message: string][] = [
  ['BGPPeer', '{node: a, nodeSelector: all()}', 'spec.nodeSelector: "all()": cannot be with node'],
  ['BGPPeer', '{peerSelector: all(), asNumber: 1}', 'spec.peerSelector: "all()": cannot be with asNumber'],
  [
    'BGPPeer',
    '{peerIP: "192.0.2.1:0"}',
    'spec.peerIP: "192.0.2.1:0": must be an address, or ADDRESS:PORT, or [IPV6]:PORT',
  ],
  [
    'BGPPeer',
    '{peerIP: 192.0.2.1, reachableBy: "fd00::1"}',
    'spec.reachableBy: "fd00::1": is of another address family than peerIP 192.0.2.1',
  ],
  [
    'BGPPeer',
    '{asNumber: 4294967296}',
    'spec.asNumber: 4294967296: must be a whole number from 0 to 4294967295',
  ],
  ['BGPPeer', '{maxRestartTime: 120}', 'spec.maxRestartTime: 120: must be a string'],
  [
    'BGPConfiguration',
    '{prefixAdvertisements: [{cidr: 10.0.0.0/8, communities: [fast]}]}',
    'spec.prefixAdvertisements[0].communities[0]: "fast": is neither a community nor the name of one in spec.communities',
  ],
  [
    'BGPConfiguration',
    '{nodeToNodeMeshEnabled: false, nodeMeshMaxRestartTime: 2m}',
    'spec.nodeMeshMaxRestartTime: cannot be where nodeToNodeMeshEnabled is false',
  ],
  [
    'BGPConfiguration',
    '{communities: [{name: a, value: "70000:1"}]}',
    'spec.communities[0].value: "70000:1": must be a community aa:nn (16 bits each) or aa:nn:mm (32 bits each)',
  ],
  [
    'BGPFilter',
    '{exportV4: [{action: Accept, matchOperator: In}]}',
    'spec.exportV4[0].cidr: must be given with matchOperator',
  ],
  [
    'BGPFilter',
    '{importV6: [{action: Accept, matchOperator: In, cidr: 10.0.0.0/8}]}',
    'spec.importV6[0].cidr: "10.0.0.0/8": must be an IPv6 network such as fd00:10::/48',
  ],
  [
    'BGPFilter',
    '{importV4: [{action: Reject, operations: [{setPriority: {value: 1}}]}]}',
    'spec.importV4[0].operations: can be only where action is Accept',
  ],
  [
    'BGPFilter',
    '{importV4: [{action: Accept, operations: [{}]}]}',
    'spec.importV4[0].operations[0]: []: must have just one of the operations',
  ],
  [
    'Node',
    '{bgp: {ipv4Address: "fd00::1/64"}}',
    'spec.bgp.ipv4Address: "fd00::1/64": must be an IPv4 network such as 10.0.0.0/16',
  ],
  ['Node', '{bgp: {}}', 'spec.bgp: {}: must not be empty: leave it out'],
  [
    'IPReservation',
    '{reservedCIDRs: [10.0.0.1]}',
    'spec.reservedCIDRs[0]: "10.0.0.1": must be an IP network such as 10.0.0.0/16',
  ],
  ['IPAMBlock', '{}', 'only the allocator writes this kind; see "amphipod net ipam"'],
  ['IPAMConfiguration', '{}', 'metadata.name: "x": must be "default"'],
  ['WorkloadEndpoint', '{}', 'metadata.namespace: must be given'],
];

for (const [kind, spec, message] of others) {
  test(`${kind} is refused: ${message.slice(0, 70)}`, () => {
    const text = `{apiVersion: projectcalico.org/v3, kind: ${kind}, metadata: {name: x}, spec: ${spec}}`;
    assert.deepEqual(problems(text), [`read "a.yaml", document 1 (${kind} "x"): ${message}`]);
  });
}

test('what is written as YAML or JSON reads as the same', () => {
  const text = `${pool('{cidr: 10.0.0.0/16, natOutgoing: true}')}\n---\n{kind: BGPConfiguration, apiVersion: projectcalico.org/v3, metadata: {name: default, labels: {"true": "no"}}, spec: {nodeToNodeMeshEnabled: false}}`;
  const read = (from: string) =>
    readDocuments(from, 'a').map((one) => ('resource' in one ? one.resource : assert.fail(one.error)));
  const resources = read(text);
  assert.equal(resources.length, 2);
  for (const some of [resources, resources.slice(1)]) {
    assert.deepEqual(read(formatYaml(some)), some);
    assert.deepEqual(read(formatJson(some)), some);
  }
});
