import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseIp } from '@amphipod/netlink';
import { readDocuments } from '../documents/read-documents.ts';
import { PolicyWorld } from '../model/policy-world.ts';
import { explainFlow, findEnd } from './explain.ts';
import { lint } from './lint.ts';

const pods = `apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
status: {podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: shop, labels: {app: client}}
status: {podIP: 10.0.0.2}
---
apiVersion: v1
kind: Pod
metadata: {name: new, namespace: shop}
`;

function policy(name: string, spec: string): string {
  return `---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: ${name}, namespace: shop}
spec: ${spec}
`;
}

function calico(spec: string): string {
  return `---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: all}
spec: ${spec}
`;
}

function worldOf(text: string): PolicyWorld {
  const { resources, problems } = readDocuments(pods + text, 'shop.yaml');
  assert.deepEqual(problems, []);
  const world = new PolicyWorld();
  for (const resource of resources) world.put(resource);
  return world;
}

const packet = { src: parseIp('10.0.0.2'), dst: parseIp('10.0.0.1'), protocol: 6, srcPort: 1, dstPort: 80 };

describe('explain', () => {
  it('names the rule that allows, its file and document', () => {
    const world = worldOf(policy('a', '{podSelector: {}, ingress: [{ports: [{port: 80}]}]}'));
    const { isAllowed, ends } = explainFlow(world, packet);
    assert.equal(isAllowed, true);
    assert.deepEqual(
      ends.map(({ direction, pod, why }) => `${direction} ${pod}: ${why}`),
      [
        'egress shop/client: no policy isolates it for egress',
        'ingress shop/web: allowed by NetworkPolicy shop/a spec.ingress[0] (shop.yaml document 4)',
      ],
    );
  });

  it('names all policies that isolate, and what would change it', () => {
    const world = worldOf(
      policy('a', '{podSelector: {}, ingress: []}') + policy('b', '{podSelector: {}, ingress: []}'),
    );
    const { isAllowed, ends } = explainFlow(world, packet);
    assert.equal(isAllowed, false);
    assert.equal(
      ends[1]!.why,
      'isolated by NetworkPolicy shop/a (shop.yaml document 4), NetworkPolicy shop/b (shop.yaml document 5), none of whose rules matches',
    );
    assert.equal(
      ends[1]!.hint,
      'a rule for ingress that selects shop/client (app=client), TCP port 80 would allow it',
    );
  });

  it('names the rule that denies', () => {
    const { ends } = explainFlow(worldOf(calico('{ingress: [{action: Deny}]}')), packet);
    assert.equal(ends[1]!.why, 'denied by GlobalNetworkPolicy all spec.ingress[0] (shop.yaml document 4)');
  });

  it('finds ends by name and by address', () => {
    const world = worldOf('');
    assert.equal(findEnd(world, 'shop/web').length, 2);
    assert.deepEqual(findEnd(world, '192.0.2.1'), [parseIp('192.0.2.1')]);
    assert.throws(() => findEnd(world, 'web'), {
      message: 'find "web": no pod "default/web", and no IP address',
    });
    assert.throws(() => findEnd(world, 'shop/new'), { message: 'find "shop/new": the pod has no address' });
  });
});

describe('lint', () => {
  const findings = (text: string) => lint(worldOf(text)).map(({ path, message }) => `${path}: ${message}`);

  it('finds nothing in a policy that does what it says', () => {
    const spec =
      '{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]}';
    assert.deepEqual(findings(policy('a', spec)), []);
  });

  for (const [title, text, expected] of [
    [
      'a policy that applies to nobody',
      policy('a', '{podSelector: {matchLabels: {app: none}}, ingress: []}'),
      ": applies to no pod: none matches (namespace == 'shop' && app == 'none')",
    ],
    [
      'a rule that allows everything',
      policy('a', '{podSelector: {}, egress: [{}], policyTypes: [Egress]}'),
      'spec.egress[0]: allows egress to everybody on all ports',
    ],
    [
      'a rule after one that decides about everything',
      calico('{ingress: [{action: Deny}, {action: Allow, protocol: TCP}]}'),
      'spec.ingress[1]: never matches: spec.ingress[0] before it already decides about everything',
    ],
    [
      'a peer that matches nobody',
      policy('a', '{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: none}}}]}]}'),
      "spec.ingress[0]: matches nothing now: no pod or network set matches (namespace == 'shop' && app == 'none')",
    ],
    [
      'a tier that nobody describes',
      calico('{tier: mine, ingress: [{action: Deny}]}'),
      'spec.tier: no document describes the tier "mine": it comes last and denies',
    ],
    [
      'what is not supported',
      calico('{ingress: [{action: Allow, protocol: TCP, http: {methods: [GET]}}]}'),
      'spec.ingress[0].http: not supported: it allows nothing',
    ],
    [
      'what is for hosts',
      calico('{preDNAT: true, applyOnForward: true, ingress: [{action: Deny}]}'),
      ': not enforced: it is for host endpoints, which are not supported',
    ],
  ] as const) {
    it(`finds ${title}`, () => assert.deepEqual(findings(text), [expected]));
  }
});
