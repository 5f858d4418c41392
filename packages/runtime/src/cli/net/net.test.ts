import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createIpam, createResource, openEmbeddedDatastore } from '@amphipod/fabric';
import { formatIp } from '@amphipod/netlink';
import { dispatch } from '../dispatch.ts';
import { Sink } from '../testing.ts';

const directory = mkdtempSync(join(tmpdir(), 'amphipod-net-'));
after(() => rmSync(directory, { recursive: true, force: true }));
let databases = 0;

/** A datastore of its own, and the command line on it. */
function network() {
  const database = join(directory, `${databases++}.db`);
  const net = async (...args: string[]) => {
    const [stdout, stderr] = [new Sink(), new Sink()];
    const code = await dispatch(['net', ...args, '--database', database], {}, { stdout, stderr });
    return { code, out: stdout.text, err: stderr.text };
  };
  const file = (text: string) => {
    const path = join(directory, `${databases++}.yaml`);
    writeFileSync(path, text);
    return path;
  };
  return { net, file, database };
}

const pool = `apiVersion: projectcalico.org/v3
kind: IPPool
metadata:
  name: blue
spec:
  cidr: 10.0.0.0/16
`;
const peer = `apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata:
  name: tor
spec:
  peerIP: 192.0.2.1
  asNumber: 64512
`;

test('resources are created, shown, updated and deleted', async () => {
  const { net, file } = network();
  const path = file(`${pool}---\n${peer}`);
  assert.deepEqual(await net('apply', '-f', path), {
    code: 0,
    out: 'IPPool "blue" created\nBGPPeer "tor" created\n',
    err: '',
  });
  assert.match((await net('apply', '-f', path)).out, /IPPool "blue" updated\nBGPPeer "tor" updated/);
  assert.deepEqual((await net('get', 'ippools')).out.split('\n'), [
    'NAME   CIDR          BLOCK   NAT     IPIP    VXLAN   DISABLED   SELECTOR',
    'blue   10.0.0.0/16   /26     false   Never   Never   false      all()',
    '',
  ]);
  assert.equal((await net('get', '-f', path, '-o', 'name')).out, 'IPPool "blue"\nBGPPeer "tor"\n');
  assert.equal((await net('delete', 'bgppeer', 'tor')).out, 'BGPPeer "tor" deleted\n');
  assert.deepEqual(await net('delete', '-f', path), {
    code: 125,
    out: 'IPPool "blue" deleted\n',
    err: 'amphipod: net delete: there is no BGPPeer "tor"\n',
  });
  assert.equal((await net('delete', '-f', path, '--skip-not-exists')).code, 0);
  assert.match((await net('get', 'ippools', 'blue')).err, /there is no IPPool "blue"/);
});

test('what get prints can be applied; with an older resourceVersion it is refused', async () => {
  const { net, file } = network();
  await net('apply', '-f', file(pool));
  const shown = (await net('get', 'pools', '-o', 'yaml')).out;
  const changed = file(shown.replace('natOutgoing: false', 'natOutgoing: true'));
  assert.equal((await net('apply', '-f', changed)).out, 'IPPool "blue" updated\n');
  assert.match(
    (await net('apply', '-f', changed)).err,
    /^amphipod: net apply: update IPPool "blue": metadata.resourceVersion is "\d+", that of the datastore "\d+": somebody else has changed it \(1 of 1 not applied\)\n$/,
  );
  const [json] = [
    JSON.parse((await net('get', 'ippool', 'blue', '-o', 'json')).out) as { spec: { natOutgoing: boolean } },
  ];
  assert.equal(json.spec.natOutgoing, true);
});

test('a mistake in one document changes nothing, and all mistakes are told', async () => {
  const { net, file } = network();
  const path = file(`${pool}---\n${peer.replace('192.0.2.1', 'there')}---\nkind: Tier\n`);
  const { code, out, err } = await net('apply', '-f', path);
  assert.deepEqual([code, out], [125, '']);
  assert.match(
    err,
    /^amphipod: net apply: nothing is changed\nread ".*", document 2 \(BGPPeer "tor"\): spec.peerIP: "there": /,
  );
  assert.match(err, /document 3: kind: "Tier": is not known/);
  assert.equal((await net('get', 'ippools', '-o', 'name')).out, '');
});

test('what the datastore refuses is told with what is left', async () => {
  const { net, file } = network();
  await net('apply', '-f', file(pool));
  const { err } = await net('apply', '-f', file(`${peer}---\n${pool.replace('blue', 'red')}`));
  assert.match(
    err,
    /write IPPool "red": spec.cidr: "10.0.0.0\/16": overlaps 10.0.0.0\/16 of IPPool "blue" \(1 of 2 not applied\)/,
  );
});

test('addresses are shown, checked and mended', async () => {
  const { net, file, database } = network();
  const { one, endpoint } = await takeAddresses(database);
  assert.deepEqual((await net('ipam', 'show', '--show-blocks')).out.split('\n'), [
    'GROUPING   NAME          CIDR          AFFINITY   ADDRESSES   TAKEN',
    'IPPool     blue          10.0.0.0/30              4           2',
    'Block      10-0-0-0-30   10.0.0.0/30   host:n1    4           2',
    '',
  ]);
  assert.equal((await net('apply', '-f', file(endpoint))).code, 0);
  const leak = 'nothing uses 10.0.0.1: handle "h2", pod default/gone of node "n1"';
  assert.deepEqual(await net('ipam', 'check', '--min-age', '0'), {
    code: 1,
    out: `leak: ${leak}\n1 blocks, 2 handles, 1 addresses in use: 1 mistakes\n`,
    err: '',
  });
  assert.deepEqual(await net('ipam', 'repair', '--min-age', '0', '--settle', '0'), {
    code: 0,
    out: `mended: ${leak}\n1 mended, 0 left\n`,
    err: '',
  });
  assert.equal((await net('ipam', 'check', '--min-age', '0')).code, 0);
  assert.equal(one, '10.0.0.0');
});

/** Two pods' addresses, of which only the first has an endpoint. */
async function takeAddresses(database: string): Promise<{ one: string; endpoint: string }> {
  await using store = openEmbeddedDatastore(database);
  await createResource(store, {
    kind: 'IPPool',
    apiVersion: 'projectcalico.org/v3',
    metadata: { name: 'blue' },
    spec: { cidr: '10.0.0.0/30', blockSize: 30 },
  });
  const ipam = createIpam({ store, node: 'n1' });
  const take = async (handleId: string, pod: string) => {
    const attributes = { node: 'n1', namespace: 'default', pod, timestamp: new Date().toISOString() };
    const [ip] = await ipam.allocate({ owner: { handleId, attributes }, ipv4: { count: 1 } });
    return formatIp(ip!);
  };
  const one = await take('h1', 'web');
  await take('h2', 'gone');
  const endpoint = `apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {name: n1-k8s-web-eth0, namespace: default}
spec: {node: n1, orchestrator: k8s, pod: web, endpoint: eth0, ipNetworks: [${one}/32]}
`;
  return { one, endpoint };
}

const usage: [args: string[], message: RegExp][] = [
  [['apply'], /give -f FILE; see amphipod net apply --help/],
  [['get'], /give KIND or -f FILE/],
  [['get', 'things'], /unknown kind "things"/],
  [['delete', 'ippool'], /arguments missing: expected KIND NAME/],
  [['delete', 'ipamhandle', 'x'], /only the allocator deletes this kind/],
  [['ipam', 'check', '--min-age', 'soon'], /--min-age "soon": expected a number of seconds/],
  [['apply', '-f', '/nonexistent.yaml'], /read "\/nonexistent.yaml": ENOENT/],
];
for (const [args, message] of usage) {
  test(`net ${args.join(' ')} is refused`, async () => {
    const { code, err } = await network().net(...args);
    assert.equal(code, 125);
    assert.match(err, message);
  });
}
