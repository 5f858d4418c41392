// Prints how long the operations of @amphipod/netlink take; not part of the suite.
// Run: unshare -n -m bin/node24 test/kernel/netlink-speed.ts [ROUNDS]
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPinnedNamespaces, unpinNamespace } from '@amphipod/linux';
import {
  addrAdd,
  linkAdd,
  linkDel,
  linkGet,
  linkSet,
  type NftMap,
  nftTransaction,
  openNft,
  openRtnl,
  openRtnlIn,
  parseCidr,
  parseIp,
  routeAdd,
} from '@amphipod/netlink';

const rounds = Number(process.argv[2] ?? 200);
const samples = new Map<string, number[]>();

function record(name: string, start: number): void {
  const list = samples.get(name) ?? [];
  list.push(performance.now() - start);
  samples.set(name, list);
}

function measure<T>(name: string, work: () => T): T {
  const start = performance.now();
  const result = work();
  record(name, start);
  return result;
}

const dir = mkdtempSync(join(tmpdir(), 'netlink-speed-'));
const pin = join(dir, 'pod');
createPinnedNamespaces({ net: pin });
using host = openRtnl();
using nftConn = openNft();
const netnsFd = openSync(pin, 'r');
const bridge = linkAdd(host, { kind: 'bridge', name: 'br0', up: true });
const at = { family: 'ip', table: 'speed' } as const;
const ports: NftMap = {
  object: 'map',
  ...at,
  set: 'ports',
  key: ['inet_proto', 'inet_service'],
  data: ['ipv4_addr', 'inet_service'],
};
nftTransaction(nftConn, [
  { op: 'add', object: 'table', ...at },
  { op: 'add', ...ports },
]);

for (let round = 0; round < rounds; round++) {
  using pod = measure('open and close Rtnl in pod', () => openRtnlIn(pin));
  const veth = measure('veth: create, move, master, up', () =>
    linkAdd(host, {
      kind: 'veth',
      name: 'veth0',
      mtu: 1450,
      masterIndex: bridge.ifIndex,
      up: true,
      peer: { name: 'eth0', netnsFd, mtu: 1450 },
    }),
  );
  const eth0 = measure('linkGet by name', () => linkGet(pod, 'eth0'));
  measure('linkSet up', () => linkSet(pod, eth0.ifIndex, { up: true }));
  measure('linkSet alias and hairpin', () =>
    linkSet(host, veth.ifIndex, { alias: 'pod', bridgePort: { hairpin: true } }),
  );
  measure('addrAdd', () => addrAdd(pod, eth0.ifIndex, parseCidr('10.9.0.2/24')));
  measure('routeAdd', () => routeAdd(pod, { gateway: parseIp('10.9.0.1') }));
  measure('nft: one map element', () =>
    nftTransaction(nftConn, [
      {
        op: 'add',
        object: 'elements',
        of: ports,
        elements: [{ key: [6, 1000 + round], data: [parseIp('10.9.0.2'), 80], comment: 'pod' }],
      },
    ]),
  );
  const start = performance.now();
  await linkDel(host, veth.ifIndex);
  record('linkDel', start);
}

const rows = [...samples].map(([operation, values]) => {
  const sorted = values.toSorted((a, b) => a - b);
  const quantile = (q: number) => Number(sorted[Math.floor(q * (sorted.length - 1))]!.toFixed(3));
  return { operation, p50ms: quantile(0.5), p90ms: quantile(0.9), maxMs: quantile(1) };
});
console.table(rows);
console.log(JSON.stringify({ bench: 'netlink', rounds, rows }));
closeSync(netnsFd);
unpinNamespace(pin);
rmSync(dir, { recursive: true });
