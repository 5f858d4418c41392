import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp } from '@amphipod/netlink';
import type { NodeState } from '../agent/agent-state.ts';
import { checkLease } from './check-lease.ts';
import type { EchoOutcome } from './echo.ts';
import { findNode } from './find-node.ts';
import { judge, type Observations } from './judge.ts';
import type { PingPlan } from './ping-node.ts';

const plan: PingPlan = {
  family: 4,
  backend: 'vxlan',
  own: parseIp('192.0.2.1'),
  peer: parseIp('192.0.2.2'),
  inner: parseIp('10.244.2.0'),
  isInnerSure: true,
  port: 8472,
  innerMtu: 1450,
  outerMtu: 1500,
};
const answered: EchoOutcome = { result: 'answered', ms: 0.3 };
const silent: EchoOutcome = { result: 'silent' };
const full = { outcome: answered, largest: 1500 };

/** `NAME STATUS` of each step, and what the failed ones say. */
function verdicts(seen: Observations, changes: Partial<PingPlan> = {}) {
  const checks = judge({ ...plan, ...changes }, seen);
  return {
    steps: checks.map(({ name, status }) => `${name} ${status}`),
    failed: checks
      .filter(({ status }) => status === 'failed')
      .map(({ detail, advice }) => `${detail}. ${advice}`),
  };
}

test('everything works', () => {
  const seen: Observations = {
    underlay: answered,
    overlay: answered,
    port: { result: 'silent' },
    underlayBig: full,
    overlayBig: full,
  };
  assert.deepEqual(verdicts(seen), {
    steps: ['underlay ok', 'underlay MTU ok', 'port ok', 'overlay ok', 'overlay MTU ok'],
    failed: [],
  });
  const noPort = { ...seen };
  delete noPort.port;
  assert.deepEqual(verdicts(noPort, { port: undefined }).steps, [
    'underlay ok',
    'underlay MTU ok',
    'overlay ok',
    'overlay MTU ok',
  ]);
});

test('the port is to blame when the node answers ping and nothing comes back through it', () => {
  const seen: Observations = { underlay: answered, overlay: silent, underlayBig: full };
  const lost = verdicts({ ...seen, port: { result: 'silent' } });
  assert.deepEqual(lost.steps, [
    'underlay ok',
    'underlay MTU ok',
    'port failed',
    'overlay failed',
    'overlay MTU skipped',
  ]);
  assert.match(lost.failed[0]!, /UDP port 8472 of 192\.0\.2\.2: .* no vxlan packet comes back\. .*both ways/);
  const closed = verdicts({ ...seen, port: { result: 'closed' } });
  assert.match(closed.failed[0]!, /nobody listens there\. .*does the agent run/);
  const own = verdicts({ ...seen, port: { result: 'not-sent', code: 'EPERM' } });
  assert.match(own.failed[0]!, /a rule of this node drops it\. .*nft list ruleset/);
});

test('a node that is gone is not blamed on its port', () => {
  const gone: EchoOutcome = { result: 'unreachable', by: '192.0.2.1', why: 'host unreachable' };
  const seen: Observations = { underlay: gone, overlay: silent, port: { result: 'silent' } };
  assert.deepEqual(verdicts(seen).steps, [
    'underlay failed',
    'underlay MTU skipped',
    'port skipped',
    'overlay failed',
    'overlay MTU skipped',
  ]);
  assert.match(verdicts(seen).failed[0]!, /host unreachable, says 192\.0\.2\.1\. .*the node is gone/);
});

test('ping that is dropped is no failure while the overlay answers', () => {
  const seen: Observations = {
    underlay: silent,
    overlay: answered,
    port: { result: 'silent' },
    overlayBig: full,
  };
  assert.deepEqual(verdicts(seen), {
    steps: ['underlay skipped', 'underlay MTU skipped', 'port ok', 'overlay ok', 'overlay MTU ok'],
    failed: [],
  });
});

test('a small MTU is told with what passes and who says so', () => {
  const seen: Observations = {
    underlay: answered,
    overlay: answered,
    port: { result: 'silent' },
    underlayBig: { outcome: { result: 'too-big', by: '192.0.2.254', mtu: 1400 }, largest: 1400 },
    overlayBig: { outcome: silent, largest: 1350 },
  };
  const { steps, failed } = verdicts(seen);
  assert.deepEqual(steps, [
    'underlay ok',
    'underlay MTU failed',
    'port ok',
    'overlay ok',
    'overlay MTU failed',
  ]);
  assert.match(
    failed[0]!,
    /1500 bytes here, only 1400 pass: .* 192\.0\.2\.254, which says 1400\. .*Backend\.MTU to 1400/,
  );
  assert.match(failed[1]!, /up to 1450 bytes, only 1350 pass; larger ones get lost/);
});

test('with host-gw an address that the node has only while it has pods fails nothing', () => {
  const seen: Observations = { underlay: answered, overlay: silent, underlayBig: full };
  const { steps } = verdicts(seen, { backend: 'host-gw', isInnerSure: false, port: undefined });
  assert.deepEqual(steps, ['underlay ok', 'underlay MTU ok', 'overlay skipped', 'overlay MTU skipped']);
});

const node: NodeState = {
  id: 'node-2',
  subnet: '10.244.2.0/24',
  publicIp: '192.0.2.2',
  backend: 'vxlan',
  vni: 1,
  via: 'device',
  passedOver: [],
};

test('a lease of another backend or VNI, or that is passed over, fails first', () => {
  const own = { backend: 'vxlan', vni: 1 };
  assert.equal(checkLease(own, node, 4).status, 'ok');
  const cases: [Partial<NodeState>, RegExp][] = [
    [{ backend: 'host-gw' }, /its backend is "host-gw", ours "vxlan"/],
    [{ vni: 2 }, /VNI\) is 2, ours 1/],
    [{ passedOver: ['it overlaps'] }, /passed over: it overlaps/],
  ];
  for (const [change, detail] of cases) {
    const check = checkLease(own, { ...node, ...change }, 4);
    assert.equal(check.status, 'failed');
    assert.match(check.detail, detail);
  }
  // A lease keeps 16 bits of the number.
  assert.equal(checkLease({ backend: 'vxlan', vni: 0x10001 }, node, 4).status, 'ok');
});

test('a node is found by its address, by what is in its subnet, by a name; no other by mistake', async () => {
  const other = { ...node, id: 'node-3', subnet: '10.244.3.0/24', publicIp: '127.0.0.1' };
  const nodes = [other, node];
  for (const text of ['node-2', '192.0.2.2', '10.244.2.0/24', '10.244.2.77', '10.244.2.128/25'])
    assert.equal(await findNode(nodes, text), node, text);
  assert.equal(await findNode(nodes, 'localhost'), other);
  for (const text of ['192.0.2.3', '10.244.0.0/16', 'no-such-node.invalid']) {
    await assert.rejects(findNode(nodes, text), { code: 'invalid-config' }, text);
  }
});
