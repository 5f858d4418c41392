import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCidr, parseIp, type Route } from '@amphipod/netlink';
import { testFacts } from './testing.ts';
import { type LocalView, traceRoute } from './trace-route.ts';

const endpoint = (node: string, ip: string) => ({
  kind: 'WorkloadEndpoint' as const,
  apiVersion: 'projectcalico.org/v3' as const,
  metadata: { name: `${node}-k8s-web-eth0`, namespace: 'default' },
  spec: { node, pod: 'web', ipNetworks: [`${ip}/32`], interfaceName: 'cali1' },
});

const facts = testFacts({
  blocks: [
    { node: 'a', cidr: parseCidr('10.0.1.0/26') },
    { node: 'b', cidr: parseCidr('10.0.2.0/26') },
  ],
  endpoints: [endpoint('b', '10.0.2.5'), endpoint('c', '10.0.2.6')],
});

const toB: Partial<Route> = {
  dst: parseCidr('10.0.2.0/26'),
  gateway: parseIp('192.0.2.2'),
  ifIndex: 2,
  protocol: 12,
};

function trace(to: string, route: Partial<Route> | undefined, view: Partial<LocalView> = {}): string[] {
  const whole =
    route === undefined ? undefined : { family: 4 as const, table: 254, protocol: 98, scope: 0, ...route };
  const usual: LocalView = {
    route: whole,
    linkName: () => 'eth0',
    isLinkUp: () => true,
    neighbour: () => undefined,
    isForwarding: true,
  };
  return traceRoute(facts, parseIp(to), { ...usual, ...view }).map(
    ({ at, what, stops }) => `${at} ${what}${stops ? ' STOP' : ''}`,
  );
}

test('to a pod of another node, hop by hop', () => {
  assert.deepEqual(trace('10.0.2.5', toB), [
    'node "a" 10.0.2.0/26 via 192.0.2.2 dev eth0 (bird)',
    'node "b" has the pod on cali1',
    'pod "default/web" has 10.0.2.5 on node "b"',
  ]);
});

test('where it stops, and why', () => {
  const cases: [string, Partial<Route> | undefined, Partial<LocalView>, RegExp][] = [
    [
      '10.0.2.5',
      undefined,
      {},
      /no route to 10\.0\.2\.5: its block 10\.0\.2\.0\/26 is of node "b", which does not tell us.* STOP/,
    ],
    ['10.0.9.5', undefined, {}, /no node has a block with it STOP/],
    [
      '10.0.1.9',
      { dst: parseCidr('10.0.1.0/26'), type: 'blackhole' },
      {},
      /blackhole 10\.0\.1\.0\/26 \(agent\): in a block of this node, and no pod has it STOP/,
    ],
    ['10.0.2.5', toB, { isLinkUp: () => false }, /the link eth0 is down STOP/],
    [
      '10.0.2.5',
      toB,
      { neighbour: (ifIndex, ip) => ({ ifIndex, ip, state: 'failed' }) },
      /192\.0\.2\.2 does not answer on eth0 STOP/,
    ],
    ['10.0.2.5', toB, { isForwarding: false }, /ip_forward is 0 STOP/],
    ['10.0.2.9', toB, {}, /node "b" has the block 10\.0\.2\.0\/26, and no pod has the address STOP/],
    [
      '10.0.2.5',
      { ...toB, gateway: parseIp('192.0.2.3') },
      {},
      /node "c" does not have the pod: it is on node "b".* STOP/,
    ],
    ['10.0.9.5', { ...toB, dst: parseCidr('10.0.9.0/26') }, {}, /neither the address nor its block.* STOP/],
  ];
  for (const [to, route, view, expected] of cases) assert.match(trace(to, route, view).at(-1)!, expected);
});

test('what is outside is a gateway that is nobody of ours; what the owner of a block sends on is no end', () => {
  assert.deepEqual(trace('203.0.113.1', { gateway: parseIp('192.0.2.254'), ifIndex: 2, protocol: 3 }), [
    'node "a" default via 192.0.2.254 dev eth0 (boot)',
    'gateway 192.0.2.254 is no node of ours: what it does is not known here',
  ]);
  // The address is borrowed: the pod is on c, its block on b.
  assert.doesNotMatch(trace('10.0.2.6', toB).at(-1)!, /STOP/);
});
