// Leases in the nodes of a Kubernetes cluster: who gets which, what is written, what is refused. The API server is a fake
// (fake-kube-api.ts).
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { KubernetesClient, openNodeLeases, parseNetworkConfig, readKubeconfig } from '@amphipod/fabric';
import { parseIp } from '@amphipod/netlink';
import { makeCertificate } from './etcd-server.ts';
import { FakeKubeApi } from './fake-kube-api.ts';

const flannel = 'flannel.alpha.coreos.com';
const config = parseNetworkConfig('{"Network":"10.9.0.0/16","Backend":{"Type":"vxlan"}}', 'test');
const attributes = {
  backendType: 'vxlan',
  publicIp: parseIp('192.0.2.1'),
  vtepMac: '02:00:00:00:00:01',
  vni: 1,
};

let api: FakeKubeApi;
let client: KubernetesClient;
let dir = '';

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'kubernetes-test-'));
  api = await new FakeKubeApi().start();
  client = connect();
});

afterEach(async () => {
  client[Symbol.dispose]();
  await api.stop();
  rmSync(dir, { recursive: true });
});

function connect(timeoutMs = 15_000): KubernetesClient {
  const server = new URL(api.url);
  return new KubernetesClient({ server, skipTlsVerify: false, credentials: () => ({}) }, { timeoutMs });
}

function putNode(podCIDR: string, annotations: Record<string, string> = {}): void {
  api.putNode('a', (node) => {
    node.spec.podCIDR = podCIDR;
    Object.assign(node.metadata.annotations, annotations);
  });
}

const open = () => openNodeLeases({ client, node: 'a' });

test('what is written on the node, once, and what others have written stays', async () => {
  putNode('10.9.1.0/24', { 'example.com/mine': 'x', [`${flannel}/public-ipv6`]: '2001:db8::1' });
  const leases = open();
  const own = await leases.acquire(config, { attributes });
  await leases.announceReady();
  assert.deepEqual(api.node('a').metadata.annotations, {
    'example.com/mine': 'x',
    [`${flannel}/kube-subnet-manager`]: 'true',
    [`${flannel}/backend-type`]: 'vxlan',
    [`${flannel}/backend-data`]: '{"VNI":1,"VtepMAC":"02:00:00:00:00:01"}',
    [`${flannel}/public-ip`]: '192.0.2.1',
  });
  const [{ lastHeartbeatTime, lastTransitionTime, ...condition }] = api.node('a').status.conditions as [
    Record<string, string>,
  ];
  assert.deepEqual(condition, {
    type: 'NetworkUnavailable',
    status: 'False',
    reason: 'FlannelIsUp',
    message: 'Flannel is running on this node',
  });
  assert.match(lastHeartbeatTime!, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.equal(lastTransitionTime, lastHeartbeatTime);
  api.requests.length = 0;
  await leases.acquire(config, { attributes });
  await leases.renew(own);
  await leases.release(own);
  assert.deepEqual(api.requests, ['GET /api/v1/nodes/a', 'GET /api/v1/nodes/a']);
});

test('a node behind another address is told of with that one', async () => {
  putNode('10.9.1.0/24', { [`${flannel}/public-ip-overwrite`]: '203.0.113.9' });
  const leases = open();
  const own = await leases.acquire(config, { attributes });
  assert.equal(api.node('a').metadata.annotations[`${flannel}/public-ip`], '203.0.113.9');
  assert.deepEqual((await leases.list()).leases.get('a'), own.lease);
});

test('no node and no podCIDR yet: it may come; a podCIDR that does not fit: it will not', async () => {
  const leases = open();
  const acquire = () => leases.acquire(config, { attributes });
  await assert.rejects(acquire(), {
    code: 'unavailable',
    message: /get node "a": the cluster has no such node/,
  });
  putNode('');
  await assert.rejects(acquire(), { code: 'unavailable', message: /node "a" has no podCIDR yet/ });
  putNode('10.8.1.0/24');
  await assert.rejects(acquire(), {
    code: 'invalid-config',
    message: /node "a" has podCIDR 10\.8\.1\.0\/24, which is not in Network 10\.9\.0\.0\/16/,
  });
  putNode('fc00::/64');
  await assert.rejects(acquire(), { code: 'invalid-config', message: /no podCIDR of the family of Network/ });
  assert.equal(api.node('a').metadata.annotations[`${flannel}/public-ip`], undefined);
});

test('renewing: undefined when the node was made anew with another podCIDR', async () => {
  putNode('10.9.1.0/24');
  const leases = open();
  const own = await leases.acquire(config, { attributes });
  assert.deepEqual(await leases.renew(own), own);
  assert.deepEqual(api.node('a').status.conditions, []);
  await leases.announceReady();
  api.deleteNode('a');
  await assert.rejects(leases.renew(own), { code: 'unavailable' });
  putNode('');
  await assert.rejects(leases.renew(own), { code: 'unavailable', message: /has no podCIDR yet/ });
  putNode('10.9.1.0/24');
  assert.deepEqual(await leases.renew(own), own);
  // The new node is told too that it has a network.
  assert.equal(api.node('a').status.conditions[0]?.reason, 'FlannelIsUp');
  assert.deepEqual((await leases.list()).leases.get('a'), own.lease);
  api.deleteNode('a');
  putNode('10.9.2.0/24');
  assert.equal(await leases.renew(own), undefined);
});

test('a change that collides with others is tried again, but not for ever', async () => {
  putNode('10.9.1.0/24');
  const leases = open();
  api.refuse('PATCH', 409, { count: 3, reason: 'Conflict' });
  await leases.acquire(config, { attributes });
  api.refuse('PATCH', 409, { count: 10, reason: 'Conflict' });
  await assert.rejects(leases.announceReady(), { code: 'conflict', message: /set condition of node "a"/ });
});

test('the pod that we run in knows the node', async () => {
  putNode('10.9.1.0/24');
  const leases = openNodeLeases({ client, node: { namespace: 'kube-flannel', name: 'agent-x' } });
  await assert.rejects(leases.acquire(config, { attributes }), {
    message: /find the node of pod "kube-flannel\/agent-x"/,
  });
  api.pods.set('kube-flannel/agent-x', 'a');
  assert.equal((await leases.acquire(config, { attributes })).id, 'a');
});

suite('calls that fail', () => {
  test('a server that takes the request and says nothing', async () => {
    using impatient = connect(100);
    api.isSilent = true;
    await assert.rejects(openNodeLeases({ client: impatient, node: 'a' }).list(), {
      code: 'unavailable',
      message:
        /^list "\/api\/v1\/nodes": the API server at http:.* does not answer: no answer within 100 ms$/,
    });
  });

  test('a server that is too slow in telling', async () => {
    for (let number = 0; number < 10; number++) api.putNode(`n${number}`, () => {});
    api.pieceDelayMs = 100;
    using impatient = connect(150);
    await assert.rejects(openNodeLeases({ client: impatient, node: 'a' }).list(), { code: 'unavailable' });
    using patient = connect();
    assert.equal((await openNodeLeases({ client: patient, node: 'a' }).list()).leases.size, 0);
  });

  test('refusals, and no server; when there is one again it is asked', async () => {
    const leases = open();
    const cases: [status: number, code: string][] = [
      [400, 'datastore-error'],
      [401, 'unavailable'],
      [403, 'unavailable'],
      [429, 'unavailable'],
      [503, 'unavailable'],
    ];
    for (const [status, code] of cases) {
      api.refuse('GET', status, { reason: 'BecauseOfThis' });
      await assert.rejects(leases.list(), {
        code,
        message: `list "/api/v1/nodes": the API server says ${status}: refused: BecauseOfThis`,
      });
    }
    api.refuse('GET', 429, { retryAfterSeconds: 7 });
    await assert.rejects(leases.list(), { retryAfterMs: 7000 });
    await api.stop();
    await assert.rejects(leases.list(), { code: 'unavailable', message: /ECONNREFUSED/ });
    await api.start();
    assert.equal((await leases.list()).leases.size, 0);
  });
});

test('over TLS with a kubeconfig file: certificates on both sides; without ours, or of a stranger, nothing', async () => {
  const files = makeCertificate(dir);
  await using secure = await new FakeKubeApi({ tls: files }).start();
  secure.putNode('a', ({ spec }) => {
    spec.podCIDR = '10.9.1.0/24';
  });
  const write = (cluster: object, user: object) => {
    const file = join(dir, 'kubeconfig');
    const context = { context: { cluster: 'c', user: 'u' }, name: 'x' };
    const text = JSON.stringify({
      'current-context': 'x',
      contexts: [context],
      clusters: [{ name: 'c', cluster: { server: secure.url, ...cluster } }],
      users: [{ name: 'u', user }],
    });
    writeFileSync(file, text);
    return readKubeconfig(file);
  };
  const ours = { 'client-certificate': files.cert, 'client-key': files.key };
  const list = async (cluster: object, user: object) => {
    using caller = new KubernetesClient(write(cluster, user));
    return (await openNodeLeases({ client: caller, node: 'a' }).acquire(config, { attributes })).id;
  };
  const trusted = { 'certificate-authority': files.ca };
  assert.equal(await list(trusted, ours), 'a');
  assert.equal(await list({ 'insecure-skip-tls-verify': true }, ours), 'a');
  await assert.rejects(list({}, ours), { code: 'unavailable', message: /self-signed certificate/ });
  await assert.rejects(list({ ...trusted, 'tls-server-name': 'other.example' }, ours), {
    code: 'unavailable',
    message: /other\.example/,
  });
  await assert.rejects(list(trusted, {}), { code: 'unavailable' });
});
