import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatCidr } from '@amphipod/netlink';
import { readDocuments, withoutDuplicates } from './read-documents.ts';
import type {
  AdminPolicyResource,
  CalicoPolicyResource,
  NetworkPolicyResource,
  PodResource,
} from './resources.ts';

const head =
  'apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: web, namespace: shop}\n';
const calicoHead = 'apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: web}\n';
const adminHead =
  'apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {name: web}\n';
const clusterHead =
  'apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: web}\n';

function only<T>(text: string): T {
  const { resources, problems } = readDocuments(text, 'p.yaml');
  assert.deepEqual(
    problems.map(({ message }) => message),
    [],
  );
  assert.equal(resources.length, 1);
  return resources[0] as T;
}

function problemOf(text: string): string {
  const { resources, problems } = readDocuments(text, 'p.yaml');
  assert.equal(resources.length, 0);
  assert.equal(problems.length, 1);
  assert.equal(problems[0]!.code, 'invalid-config');
  return problems[0]!.message;
}

const refusal = (rest: string) => `read policy "p.yaml" document 1: ${rest}`;

describe('documents of network policy', () => {
  it('reads several documents and lists; a bad one stops none of the others (POL-05)', () => {
    const { resources, problems } = readDocuments(
      `${head}spec: {podSelector: {}}
---
# nothing here
---
kind: [
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: shop}}
- {apiVersion: v1, kind: Namespace, metadata: {name: shop, namespace: x}}
- {apiVersion: v1, kind: Secret, metadata: {name: shop}}
---
{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}}
`,
      'p.yaml',
    );
    assert.deepEqual(
      resources.map(({ origin }) => `${origin.kind} ${origin.name} ${origin.document} ${origin.item ?? '-'}`),
      ['NetworkPolicy web 1 -', 'Namespace shop 4 1', 'Namespace other 5 -'],
    );
    assert.equal(problems.length, 3);
    assert.match(problems[0]!.message, /^read policy "p.yaml" document 3: .* at line [0-9]+/);
    assert.equal(
      problems[1]!.message,
      'read policy "p.yaml" document 4 item 2: metadata.namespace: "x": Namespace is in no namespace',
    );
    assert.equal(
      problems[2]!.message,
      'read policy "p.yaml" document 4 item 3: kind: "Secret": is no kind that network policy reads',
    );
  });

  it('keeps the first of two resources with one name', () => {
    const text = `${head}spec: {podSelector: {}}\n`;
    const { resources, problems } = withoutDuplicates(readDocuments(`${text}---\n${text}`, 'p.yaml'));
    assert.equal(resources.length, 1);
    assert.equal(
      problems[0]!.message,
      'read policy "p.yaml" document 2: metadata.name: "web": "p.yaml" document 1 has the same NetworkPolicy',
    );
  });

  it('refuses documents that unfold without end', () => {
    const bomb = `a: &a [x,x,x,x,x,x,x,x,x]
b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]
c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]
d: [*c,*c,*c,*c,*c,*c,*c,*c,*c]
`;
    assert.match(problemOf(bomb), /alias/i);
  });

  it('says which API version a kind has', () => {
    assert.equal(
      problemOf('apiVersion: extensions/v1beta1\nkind: NetworkPolicy\nmetadata: {name: a}'),
      refusal(
        'apiVersion: "extensions/v1beta1": for NetworkPolicy it must be networking.k8s.io/v1 or projectcalico.org/v3',
      ),
    );
  });
});

describe('NetworkPolicy', () => {
  it('has ingress by default, and egress when there are egress rules (POL-04)', () => {
    const directions = (spec: string) => only<NetworkPolicyResource>(`${head}spec: ${spec}`).directions;
    assert.deepEqual(directions('{podSelector: {}}'), ['ingress']);
    assert.deepEqual(directions('{podSelector: {}, egress: []}'), ['ingress']);
    assert.deepEqual(directions('{podSelector: {}, egress: [{}]}'), ['ingress', 'egress']);
    assert.deepEqual(directions('{podSelector: {}, policyTypes: [Egress]}'), ['egress']);
  });

  it('takes an empty port for all TCP ports, and no ports for everything (POL-04)', () => {
    const policy = only<NetworkPolicyResource>(
      `${head}spec: {podSelector: {}, ingress: [{ports: [{}, {port: 80}]}, {ports: []}, {}]}`,
    );
    assert.deepEqual(policy.ingress, [
      {
        path: 'spec.ingress[0]',
        peers: [],
        ports: [{ protocol: 6 }, { protocol: 6, port: { first: 80, last: 80 } }],
      },
      { path: 'spec.ingress[1]', peers: [], ports: [] },
      { path: 'spec.ingress[2]', peers: [], ports: [] },
    ]);
  });

  it('reads ranges, names and blocks (POL-05)', () => {
    const policy = only<NetworkPolicyResource>(`${head}spec:
  podSelector: {matchExpressions: [{key: app, operator: In, values: [a, b]}]}
  egress:
  - to: [{ipBlock: {cidr: 10.1.2.3/8, except: [10.1.0.0/16]}}]
    ports: [{port: 8000, endPort: 8010, protocol: UDP}, {port: http}]`);
    assert.deepEqual(policy.egress[0]!.ports, [
      { protocol: 17, port: { first: 8000, last: 8010 } },
      { protocol: 6, port: { name: 'http' } },
    ]);
    const [peer] = policy.egress[0]!.peers;
    assert.ok(peer !== undefined && 'ipBlock' in peer);
    assert.equal(formatCidr(peer.ipBlock.cidr), '10.0.0.0/8');
    assert.deepEqual(peer.ipBlock.except.map(formatCidr), ['10.1.0.0/16']);
  });

  for (const [spec, why] of [
    [
      '{podSelector: {}, ingres: []}',
      'spec.ingres: []: unknown key; known are podSelector, policyTypes, ingress, egress',
    ],
    [
      '{podSelector: {}, policyTypes: [ingress]}',
      'spec.policyTypes: ["ingress"]: "ingress" must be Ingress or Egress',
    ],
    [
      '{ingress: [{ports: [{port: 80}, {port: 90, endPort: 80}]}]}',
      'spec.ingress[0].ports[1].endPort: 80: must be at least the port, 90',
    ],
    [
      '{ingress: [{ports: [{port: http, endPort: 80}]}]}',
      'spec.ingress[0].ports[0].endPort: 80: needs a port with a number',
    ],
    [
      '{ingress: [{ports: [{port: 70000}]}]}',
      'spec.ingress[0].ports[0].port: 70000: must be a whole number from 1 to 65535',
    ],
    [
      '{ingress: [{ports: [{protocol: tcp}]}]}',
      'spec.ingress[0].ports[0].protocol: "tcp": must be one of TCP, UDP, SCTP',
    ],
    [
      '{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]}]}',
      'spec.ingress[0].from[0].ipBlock.except: ["11.0.0.0/16"]: 11.0.0.0/16 must lie within 10.0.0.0/8',
    ],
    [
      '{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}]}',
      'spec.ingress[0].from[0].podSelector: {}: not together with ipBlock',
    ],
    [
      '{ingress: [{from: [{}]}]}',
      'spec.ingress[0].from[0].podSelector: one of ipBlock, podSelector and namespaceSelector must be given',
    ],
    [
      '{podSelector: {matchExpressions: [{key: a, operator: In}]}}',
      'spec.podSelector.matchExpressions[0].values: must be given for In',
    ],
    ['{podSelector: {matchLabels: {a: 1}}}', 'spec.podSelector.matchLabels.a: 1: must be a string'],
    [
      '{podSelector: {matchLabels: {"a/b/c": x}}}',
      'spec.podSelector.matchLabels: {"a/b/c":"x"}: "a/b/c" is no label key',
    ],
  ] as const) {
    it(`refuses ${spec}`, () => assert.equal(problemOf(`${head}spec: ${spec}`), refusal(why)));
  }
});

describe('policies of Calico', () => {
  it('takes egress alone when there are only egress rules', () => {
    const directions = (spec: string) => only<CalicoPolicyResource>(`${calicoHead}spec: ${spec}`).directions;
    assert.deepEqual(directions('{}'), ['ingress']);
    assert.deepEqual(directions('{egress: [{action: Allow}]}'), ['egress']);
    assert.deepEqual(directions('{egress: [{action: Allow}], ingress: [{action: Deny}]}'), [
      'ingress',
      'egress',
    ]);
    assert.deepEqual(directions('{types: [Egress], ingress: []}'), ['egress']);
  });

  it('reads a whole rule', () => {
    const policy = only<CalicoPolicyResource>(`${calicoHead}spec:
  tier: security
  order: 10.5
  selector: app == 'web'
  ingress:
  - action: Deny
    protocol: tcp
    notProtocol: 17
    source: {nets: [10.0.0.0/8], notSelector: has(trusted), namespaceSelector: global(), serviceAccounts: {names: [a]}}
    destination: {ports: [80, "90:99", http], notPorts: [95]}
  - {action: Log, protocol: ICMP, icmp: {type: 8, code: 0}}
  - {action: Allow, protocol: TCP, http: {methods: [GET]}}`);
    assert.equal(policy.tier, 'security');
    assert.equal(policy.order, 10.5);
    const [first, second, third] = policy.ingress;
    assert.equal(first!.action, 'deny');
    assert.equal(first!.protocol, 6);
    assert.equal(first!.notProtocol, 17);
    assert.equal(first!.source.namespaceSelector, 'global');
    assert.deepEqual(first!.source.notSelector, { is: 'has', key: 'trusted' });
    assert.deepEqual(first!.destination.ports, [
      { first: 80, last: 80 },
      { first: 90, last: 99 },
      { name: 'http' },
    ]);
    assert.deepEqual(second!.icmp, { type: 8, code: 0 });
    assert.deepEqual(third!.unsupported, ['spec.ingress[2].http']);
  });

  for (const [spec, why] of [
    ['{selector: "app = web"}', 'spec.selector: "app = web": no selector: column 5: unexpected "="'],
    [
      '{ingress: [{action: Allow, destination: {ports: [80]}}]}',
      'spec.ingress[0].destination.ports: [80]: needs protocol TCP, UDP or SCTP',
    ],
    [
      '{ingress: [{action: Accept}]}',
      'spec.ingress[0].action: "Accept": must be one of Allow, Deny, Log, Pass',
    ],
    [
      '{ingress: [{action: Allow, protocol: TCP, destination: {ports: ["90:80"]}}]}',
      'spec.ingress[0].destination.ports[0]: "90:80": must be a port from 0 to 65535, a range such as 80:90, or a name',
    ],
    [
      '{ingress: [{action: Allow, icmp: {type: 8}}]}',
      'spec.ingress[0].icmp: {"type":8}: needs protocol ICMP or ICMPv6',
    ],
    ['{order: .inf}', 'spec.order: null: must be a finite number'],
    ['{preDNAT: true, applyOnForward: false}', 'spec.applyOnForward: false: must be true with preDNAT'],
    [
      '{ingress: [{action: Allow, destination: {services: {name: a}}}]}',
      'spec.ingress[0].destination.services: {"name":"a"}: not in the destination of an ingress rule',
    ],
  ] as const) {
    it(`refuses ${spec}`, () => assert.equal(problemOf(`${calicoHead}spec: ${spec}`), refusal(why)));
  }

  it('refuses another order for a tier that is always there', () => {
    assert.equal(
      problemOf('apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: default}\nspec: {order: 1}'),
      refusal('spec.order: 1: must be 1000000'),
    );
  });
});

describe('cluster-wide policies', () => {
  const subject = 'subject: {namespaces: {}}';

  it('reads an AdminNetworkPolicy', () => {
    const policy = only<AdminPolicyResource>(`${adminHead}spec:
  priority: 5
  ${subject}
  ingress:
  - {action: Pass, from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {a: b}}}}]}
  egress:
  - action: Deny
    to: [{networks: [10.0.0.0/8]}, {nodes: {}}]
    ports: [{portNumber: {port: 80}}, {portRange: {protocol: UDP, start: 1, end: 2}}, {namedPort: web}]`);
    assert.deepEqual([policy.tier, policy.priority], ['admin', 5]);
    assert.equal(policy.ingress[0]!.action, 'pass');
    assert.deepEqual(policy.egress[0]!.peers[1], { unsupported: 'spec.egress[0].to[1].nodes' });
    assert.deepEqual(policy.egress[0]!.ports, [
      { protocol: 6, port: { first: 80, last: 80 } },
      { protocol: 17, port: { first: 1, last: 2 } },
      { name: 'web' },
    ]);
  });

  it('reads a ClusterNetworkPolicy', () => {
    const policy = only<AdminPolicyResource>(`${clusterHead}spec:
  tier: Baseline
  priority: 0
  ${subject}
  egress:
  - action: Accept
    to: [{namespaces: {}}]
    protocols: [{tcp: {destinationPort: {range: {start: 5, end: 9}}}}, {sctp: {}}, {destinationNamedPort: web}, {icmp: {}}]`);
    assert.deepEqual([policy.tier, policy.priority, policy.egress[0]!.action], ['baseline', 0, 'allow']);
    assert.deepEqual(policy.egress[0]!.ports, [
      { protocol: 6, port: { first: 5, last: 9 } },
      { protocol: 132 },
      { name: 'web' },
      { unsupported: 'spec.egress[0].protocols[3].icmp' },
    ]);
  });

  for (const [document, why] of [
    [
      `${adminHead}spec: {priority: 1001, ${subject}}`,
      'spec.priority: 1001: must be a whole number from 0 to 1000',
    ],
    [`${adminHead}spec: {priority: 1, subject: {}}`, 'spec.subject.namespaces: must be given'],
    [
      `${adminHead}spec: {priority: 1, ${subject}, ingress: [{action: Accept, from: [{namespaces: {}}]}]}`,
      'spec.ingress[0].action: "Accept": must be one of Allow, Deny, Pass',
    ],
    [
      `${adminHead}spec: {priority: 1, ${subject}, ingress: [{action: Allow, from: []}]}`,
      'spec.ingress[0].from: []: must not be empty',
    ],
    [
      `${adminHead.replace('AdminN', 'BaselineAdminN')}spec: {${subject}}`,
      'metadata.name: "web": must be "default": there is only one',
    ],
  ] as const) {
    it(`refuses: ${why}`, () => assert.equal(problemOf(document), refusal(why)));
  }
});

describe('Pod', () => {
  it('has its addresses, named ports and state (POL-05)', () => {
    const pod = only<PodResource>(`apiVersion: v1
kind: Pod
metadata: {name: a, labels: {app: web}}
spec:
  nodeName: one
  serviceAccountName: robot
  initContainers: [{name: i, ports: [{name: probe, containerPort: 1}]}]
  containers: [{name: c, ports: [{name: web, containerPort: 80}, {name: web, containerPort: 81, protocol: UDP}, {containerPort: 9}]}]
status: {phase: Succeeded, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]}`);
    assert.equal(pod.origin.namespace, 'default');
    assert.deepEqual(pod.ports, [
      { name: 'web', protocol: 6, port: 80 },
      { name: 'web', protocol: 17, port: 81 },
      { name: 'probe', protocol: 6, port: 1 },
    ]);
    assert.equal(pod.isFinished, true);
    assert.equal(pod.ips.length, 2);
    assert.equal(pod.serviceAccount, 'robot');
  });
});
