import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { inNetns, sysctlSet } from '@amphipod/linux';
import {
  addrAdd,
  conntrackList,
  linkAdd,
  linkGet,
  linkSet,
  type NftMap,
  type NftSet,
  nft,
  nftListRules,
  nftTransaction,
  openNftIn,
  openRtnlIn,
  parseCidr,
  parseIp,
  routeAdd,
} from '@amphipod/netlink';
import { createTestNetns, type TestNetns } from './netlink-namespaces.ts';

/** Joins `inner` to `outer` by a veth: `outer` has the first address of the network, `inner` the second and a default route. */
function connect(outer: TestNetns, inner: TestNetns, name: string, network: string): void {
  using outerConn = openRtnlIn(outer.pin);
  using innerConn = openRtnlIn(inner.pin);
  const link = linkAdd(outerConn, {
    kind: 'veth',
    name,
    up: true,
    peer: { name: 'eth0', netnsFd: inner.fd },
  });
  addrAdd(outerConn, link.ifIndex, parseCidr(`${network}.1/24`));
  const { ifIndex } = linkGet(innerConn, 'eth0');
  linkSet(innerConn, ifIndex, { up: true });
  addrAdd(innerConn, ifIndex, parseCidr(`${network}.2/24`));
  routeAdd(innerConn, { gateway: parseIp(`${network}.1`) });
}

/** A web server in the namespace; resolves when it listens. */
async function serve(netns: TestNetns, text: string): Promise<ChildProcess> {
  const script = `require('node:http')
    .createServer((request, response) => response.end(${JSON.stringify(text)} + request.socket.remoteAddress))
    .listen(80, '0.0.0.0', () => console.log('listening'))`;
  const server = spawn('nsenter', [`--net=${netns.pin}`, process.execPath, '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(server.stdout, 'data');
  return server;
}

test('a packet goes through our DNAT map and our masquerade, and is counted', async () => {
  using host = createTestNetns();
  using pod = createTestNetns();
  using client = createTestNetns();
  using conn = openNftIn(host.pin);
  connect(host, pod, 'pod0', '10.88.0');
  connect(host, client, 'client0', '192.0.2');
  inNetns(host.pin, () => sysctlSet('net.ipv4.ip_forward', '1'));
  const at = { family: 'ip', table: 'amphipod' } as const;
  const ports: NftMap = {
    object: 'map',
    ...at,
    set: 'ports',
    key: ['inet_proto', 'inet_service'],
    data: ['ipv4_addr', 'inet_service'],
  };
  const clients: NftSet = { object: 'set', ...at, set: 'clients', key: ['ipv4_addr'] };
  nftTransaction(conn, [
    { op: 'add', object: 'table', ...at },
    { op: 'add', ...ports },
    { op: 'add', ...clients },
    {
      op: 'add',
      object: 'chain',
      ...at,
      chain: 'pre',
      base: { type: 'nat', hook: 'prerouting', priority: -100 },
    },
    {
      op: 'add',
      object: 'chain',
      ...at,
      chain: 'post',
      base: { type: 'nat', hook: 'postrouting', priority: 100 },
    },
    {
      op: 'add',
      object: 'rule',
      ...at,
      chain: 'pre',
      expressions: [
        nft.eq(nft.fib.type('daddr'), nft.fibTypes.local),
        nft.dnatMap([nft.meta.l4proto, nft.th.dport], 'ports', { family: 'ip', hasPort: true }),
      ],
    },
    {
      op: 'add',
      object: 'rule',
      ...at,
      chain: 'post',
      expressions: [nft.inSet(nft.ip.saddr, 'clients'), nft.counter(), nft.masquerade()],
    },
    {
      op: 'add',
      object: 'elements',
      of: ports,
      elements: [{ key: [nft.ipProtocols.tcp, 8080], data: [parseIp('10.88.0.2'), 80], comment: 'pod' }],
    },
    { op: 'add', object: 'elements', of: clients, elements: [{ key: [parseIp('192.0.2.2')] }] },
  ]);
  const server = await serve(pod, 'hello ');
  try {
    const get = (port: number) =>
      client.run(
        process.execPath,
        '-e',
        `fetch('http://192.0.2.1:${port}/').then((r) => r.text()).then((text) => console.log(text))`,
      );
    // The pod sees the masquerading host, not the client.
    assert.equal(get(8080), 'hello 10.88.0.1');
    assert.throws(() => get(8081), /ECONNREFUSED/);
    const counter = nftListRules(conn, { ...at, chain: 'post' })[0]!.expressions.find(
      (e) => e.expr === 'counter',
    );
    assert.equal(counter?.expr === 'counter' && counter.packets, 1n);
    const flows = conntrackList(conn, { family: 4, protocol: nft.ipProtocols.tcp, dstPort: 8080 });
    assert.deepEqual(
      flows.map(({ src, dst }) => [src, dst]),
      [[parseIp('192.0.2.2'), parseIp('192.0.2.1')]],
    );
  } finally {
    server.kill();
  }
});
