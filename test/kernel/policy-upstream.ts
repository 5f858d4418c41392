// The scenarios of Kubernetes' end-to-end suite for NetworkPolicy, by name: namespaces x, y, z with pods a, b, c each.

/** One of the nine pods. */
export interface Place {
  namespace: string;
  pod: string;
}

export interface Probing {
  port: number;
  protocol: 'tcp' | 'udp';
  /** Who reaches whom; what a pod says to itself is not looked at. */
  isAllowed(from: Place, to: Place): boolean;
}

/** Documents that come (or, by `remove`, policies that go), and what must be so afterwards. */
export interface Step {
  put?: object[];
  remove?: string[];
  expect: Probing[];
}

export interface Scenario {
  name: string;
  steps: Step[];
}

type Spec = Record<string, unknown>;

const pod = (...pods: string[]) =>
  pods.length === 1
    ? { matchLabels: { pod: pods[0] } }
    : { matchExpressions: [{ key: 'pod', operator: 'In', values: pods }] };
const ns = (...names: string[]) => ({ matchExpressions: [{ key: 'ns', operator: 'In', values: names }] });

function policy(namespace: string, name: string, spec: Spec): object {
  return { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { namespace, name }, spec };
}

/** Of a pod or a namespace, with labels beside its own. */
export function podDocument(
  { namespace, pod: name }: Place,
  ips: readonly string[],
  labels: object = {},
): object {
  const port = (number: number, protocol: string) => ({
    name: `serve-${number}-${protocol.toLowerCase()}`,
    containerPort: number,
    protocol,
  });
  const ports = [80, 81].flatMap((number) => [port(number, 'TCP'), port(number, 'UDP')]);
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace, name, labels: { pod: name, ...labels } },
    spec: { containers: [{ name: 'c', ports }] },
    status: { podIPs: ips.map((ip) => ({ ip })) },
  };
}

export function namespaceDocument(name: string, labels: object = {}): object {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: { ns: name, ...labels } } };
}

const tcp80 = (isAllowed: Probing['isAllowed']): Probing => ({ port: 80, protocol: 'tcp', isAllowed });
const tcp81 = (isAllowed: Probing['isAllowed']): Probing => ({ port: 81, protocol: 'tcp', isAllowed });
const udp80 = (isAllowed: Probing['isAllowed']): Probing => ({ port: 80, protocol: 'udp', isAllowed });
const is = (place: Place, namespace: string, name?: string) =>
  place.namespace === namespace && (name === undefined || place.pod === name);
/** Ingress of x/a from those, everybody else as without policies. */
const intoA = (isPeer: (from: Place) => boolean) => (from: Place, to: Place) =>
  !is(to, 'x', 'a') || isPeer(from);
const always = () => true;
const never = () => false;

function simple(name: string, spec: Spec, ...expect: Probing[]): Scenario {
  return { name, steps: [{ put: [policy('x', 'policy', spec)], expect }] };
}

const toA = (from: unknown[], ports?: unknown[]): Spec => ({
  podSelector: pod('a'),
  ingress: [{ from, ...(ports && { ports }) }],
});

/** @param placeIp the IPv4 address of a pod */
export function scenarios(placeIp: (place: Place) => string): Scenario[] {
  const block = (place: Place) => `${placeIp(place)}/32`;
  const xb = { namespace: 'x', pod: 'b' };
  const yb = { namespace: 'y', pod: 'b' };
  const denyAll = { podSelector: {}, policyTypes: ['Ingress', 'Egress'] };
  return [
    simple(
      'should support a default-deny-ingress policy',
      { podSelector: {}, policyTypes: ['Ingress'] },
      tcp80((_from, to) => !is(to, 'x')),
    ),
    simple(
      'should support a default-deny-all policy',
      denyAll,
      tcp80((from, to) => !is(from, 'x') && !is(to, 'x')),
    ),
    simple(
      'should enforce policy to allow traffic from pods within server namespace based on PodSelector',
      toA([{ podSelector: pod('b') }]),
      tcp80(intoA((from) => is(from, 'x', 'b'))),
    ),
    simple(
      'should enforce policy to allow ingress traffic for a target',
      { podSelector: pod('a'), ingress: [{}] },
      tcp80(always),
    ),
    simple(
      'should enforce policy to allow ingress traffic from pods in all namespaces',
      toA([{ namespaceSelector: {} }]),
      tcp80(always),
    ),
    simple(
      'should enforce policy to allow traffic only from a different namespace, based on NamespaceSelector',
      toA([{ namespaceSelector: ns('y') }]),
      tcp80(intoA((from) => is(from, 'y'))),
    ),
    simple(
      'should enforce policy based on PodSelector with MatchExpressions',
      toA([{ podSelector: pod('b', 'nobody') }]),
      tcp80(intoA((from) => is(from, 'x', 'b'))),
    ),
    simple(
      'should enforce policy based on NamespaceSelector with MatchExpressions',
      toA([{ namespaceSelector: ns('y', 'nobody') }]),
      tcp80(intoA((from) => is(from, 'y'))),
    ),
    simple(
      'should enforce policy based on NamespaceSelector with MatchExpressions using default ns label',
      toA([
        {
          namespaceSelector: {
            matchExpressions: [{ key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: ['x'] }],
          },
        },
      ]),
      tcp80(intoA((from) => !is(from, 'x'))),
    ),
    simple(
      'should enforce policy based on PodSelector or NamespaceSelector',
      toA([{ namespaceSelector: ns('y') }, { podSelector: pod('b') }]),
      tcp80(intoA((from) => is(from, 'y') || is(from, 'x', 'b'))),
    ),
    simple(
      'should enforce policy based on PodSelector and NamespaceSelector',
      toA([{ namespaceSelector: ns('y'), podSelector: pod('b') }]),
      tcp80(intoA((from) => is(from, 'y', 'b'))),
    ),
    simple(
      'should enforce policy based on Multiple PodSelectors and NamespaceSelectors',
      toA([{ namespaceSelector: ns('y', 'z'), podSelector: pod('b', 'c') }]),
      tcp80(intoA((from) => !is(from, 'x') && from.pod !== 'a')),
    ),
    simple(
      'should enforce policy based on any PodSelectors',
      toA([{ podSelector: pod('b') }, { podSelector: pod('c') }]),
      tcp80(intoA((from) => is(from, 'x') && from.pod !== 'a')),
    ),
    simple(
      'should enforce policy based on Ports',
      toA([{ namespaceSelector: ns('y') }], [{ port: 81 }]),
      tcp81(intoA((from) => is(from, 'y'))),
      tcp80(intoA(never)),
    ),
    {
      name: 'should enforce multiple, stacked policies with overlapping podSelectors',
      steps: [
        {
          put: [policy('x', 'policy', toA([{ namespaceSelector: ns('y') }], [{ port: 81 }]))],
          expect: [tcp81(intoA((from) => is(from, 'y'))), tcp80(intoA(never))],
        },
        {
          put: [policy('x', 'second', toA([{ namespaceSelector: ns('y') }], [{ port: 80 }]))],
          expect: [tcp81(intoA((from) => is(from, 'y'))), tcp80(intoA((from) => is(from, 'y')))],
        },
      ],
    },
    {
      name: 'should support allow-all policy',
      steps: [
        {
          put: [policy('x', 'policy', { podSelector: {}, ingress: [{}] })],
          expect: [tcp80(always), tcp81(always)],
        },
      ],
    },
    simple(
      'should allow ingress access on one named port',
      { podSelector: {}, ingress: [{ ports: [{ port: 'serve-81-tcp' }] }] },
      tcp81(always),
      tcp80((_from, to) => !is(to, 'x')),
    ),
    simple(
      'should allow ingress access from namespace on one named port',
      toA([{ namespaceSelector: ns('y') }], [{ port: 'serve-80-tcp' }]),
      tcp80(intoA((from) => is(from, 'y'))),
      tcp81(intoA(never)),
    ),
    simple(
      'should allow egress access on one named port',
      { podSelector: {}, policyTypes: ['Egress'], egress: [{ ports: [{ port: 'serve-80-tcp' }] }] },
      tcp80(always),
      tcp81((from) => !is(from, 'x')),
    ),
    {
      name: 'should enforce updated policy',
      steps: [
        { put: [policy('x', 'policy', { podSelector: {}, ingress: [{}] })], expect: [tcp80(always)] },
        {
          put: [policy('x', 'policy', { podSelector: {}, ingress: [{ ports: [{ port: 81 }] }] })],
          expect: [tcp81(always), tcp80((_from, to) => !is(to, 'x'))],
        },
      ],
    },
    {
      name: 'should allow ingress access from updated namespace',
      steps: [
        {
          put: [policy('x', 'policy', toA([{ namespaceSelector: { matchLabels: { ns2: 'updated' } } }]))],
          expect: [tcp80(intoA(never))],
        },
        {
          put: [namespaceDocument('y', { ns2: 'updated' })],
          expect: [tcp80(intoA((from) => is(from, 'y')))],
        },
      ],
    },
    {
      name: 'should allow ingress access from updated pod',
      steps: [
        {
          put: [policy('x', 'policy', toA([{ podSelector: { matchLabels: { pod2: 'updated' } } }]))],
          expect: [tcp80(intoA(never))],
        },
        {
          put: [podDocument(xb, [placeIp(xb)], { pod2: 'updated' })],
          expect: [tcp80(intoA((from) => is(from, 'x', 'b')))],
        },
      ],
    },
    {
      name: 'should deny ingress access to updated pod',
      steps: [
        {
          put: [
            policy('x', 'policy', {
              podSelector: { matchLabels: { target: 'isolated' } },
              policyTypes: ['Ingress'],
            }),
          ],
          expect: [tcp80(always)],
        },
        {
          put: [podDocument(xb, [placeIp(xb)], { target: 'isolated' })],
          expect: [tcp80((_from, to) => !is(to, 'x', 'b'))],
        },
      ],
    },
    simple(
      'should deny ingress from pods on other namespaces',
      { podSelector: {}, ingress: [{ from: [{ podSelector: {} }] }] },
      tcp80((from, to) => !is(to, 'x') || is(from, 'x')),
    ),
    simple(
      'should deny egress from pods based on PodSelector',
      { podSelector: pod('a'), policyTypes: ['Egress'] },
      tcp80((from) => !is(from, 'x', 'a')),
    ),
    simple(
      'should deny egress from all pods in a namespace',
      { podSelector: {}, policyTypes: ['Egress'] },
      tcp80((from) => !is(from, 'x')),
    ),
    simple(
      'should work with Ingress, Egress specified together',
      {
        ...{
          podSelector: pod('a'),
          policyTypes: ['Ingress', 'Egress'],
          ingress: [{ from: [{ podSelector: pod('b') }] }],
        },
        egress: [{ ports: [{ port: 80 }] }],
      },
      tcp80((from, to) => !is(to, 'x', 'a') || is(from, 'x', 'b')),
      tcp81((from, to) => !is(from, 'x', 'a') && (!is(to, 'x', 'a') || is(from, 'x', 'b'))),
    ),
    {
      name: 'should enforce egress policy allowing traffic to a server in a different namespace based on PodSelector and NamespaceSelector',
      steps: [
        {
          put: [
            policy('x', 'policy', {
              ...{ podSelector: pod('a'), policyTypes: ['Egress'] },
              egress: [{ to: [{ namespaceSelector: ns('y'), podSelector: pod('a') }] }],
            }),
          ],
          expect: [tcp80((from, to) => !is(from, 'x', 'a') || is(to, 'y', 'a'))],
        },
      ],
    },
    {
      name: 'should enforce ingress policy allowing any port traffic to a server on a specific protocol',
      steps: [
        {
          put: [
            policy('x', 'policy', { podSelector: pod('a'), ingress: [{ ports: [{ protocol: 'TCP' }] }] }),
          ],
          expect: [tcp80(always), tcp81(always), udp80(intoA(never))],
        },
      ],
    },
    {
      name: 'should enforce multiple ingress policies with ingress allow-all policy taking precedence',
      steps: [
        {
          put: [policy('x', 'policy', { podSelector: {}, ingress: [{ ports: [{ port: 81 }] }] })],
          expect: [tcp80((_from, to) => !is(to, 'x'))],
        },
        { put: [policy('x', 'all', { podSelector: {}, ingress: [{}] })], expect: [tcp80(always)] },
      ],
    },
    {
      name: 'should enforce multiple egress policies with egress allow-all policy taking precedence',
      steps: [
        {
          put: [
            policy('x', 'policy', {
              podSelector: {},
              policyTypes: ['Egress'],
              egress: [{ ports: [{ port: 81 }] }],
            }),
          ],
          expect: [tcp80((from) => !is(from, 'x'))],
        },
        {
          put: [policy('x', 'all', { podSelector: {}, policyTypes: ['Egress'], egress: [{}] })],
          expect: [tcp80(always)],
        },
      ],
    },
    {
      name: 'should stop enforcing policies after they are deleted',
      steps: [
        {
          put: [policy('x', 'policy', denyAll)],
          expect: [tcp80((from, to) => !is(from, 'x') && !is(to, 'x'))],
        },
        { remove: ['policy'], expect: [tcp80(always)] },
      ],
    },
    simple(
      'should allow egress access to server in CIDR block',
      {
        podSelector: pod('a'),
        policyTypes: ['Egress'],
        egress: [{ to: [{ ipBlock: { cidr: block(yb) } }] }],
      },
      tcp80((from, to) => !is(from, 'x', 'a') || is(to, 'y', 'b')),
    ),
    {
      name: 'should enforce except clause while egress access to server in CIDR block, until a second policy allows it',
      steps: [
        {
          put: [
            policy('x', 'policy', {
              ...{ podSelector: pod('a'), policyTypes: ['Egress'] },
              egress: [{ to: [{ ipBlock: { cidr: '10.0.0.0/16', except: [block(yb)] } }] }],
            }),
          ],
          expect: [tcp80((from, to) => !is(from, 'x', 'a') || !is(to, 'y', 'b'))],
        },
        {
          put: [
            policy('x', 'second', {
              ...{ podSelector: pod('a'), policyTypes: ['Egress'] },
              egress: [{ to: [{ ipBlock: { cidr: block(yb) } }] }],
            }),
          ],
          expect: [tcp80(always)],
        },
      ],
    },
    {
      name: 'should not mistakenly treat protocol SCTP as TCP, and isolate the pods that such a policy selects',
      steps: [
        {
          put: [
            policy('x', 'policy', {
              podSelector: pod('a'),
              ingress: [{ ports: [{ protocol: 'SCTP', port: 81 }] }],
            }),
          ],
          expect: [tcp81(intoA(never)), tcp80(intoA(never))],
        },
      ],
    },
    {
      name: 'should not allow access by TCP when a policy specifies only UDP',
      steps: [
        {
          put: [
            policy('x', 'policy', {
              podSelector: pod('a'),
              ingress: [{ ports: [{ protocol: 'UDP', port: 80 }] }],
            }),
          ],
          expect: [tcp80(intoA(never)), udp80(always)],
        },
      ],
    },
    simple(
      'UDP: should enforce policy to allow traffic only from a pod in a different namespace based on PodSelector and NamespaceSelector',
      toA([{ namespaceSelector: ns('y'), podSelector: pod('a') }]),
      udp80(intoA((from) => is(from, 'y', 'a'))),
    ),
  ];
}
