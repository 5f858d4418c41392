/** Leases of nodes that do not exist, and whether the kernel of one that does has what follows from them. */
import type { Datastore } from '@amphipod/fabric';
import {
  cidrOf,
  fdbList,
  formatCidr,
  formatIp,
  type IpAddress,
  linkFind,
  neighList,
  type Rtnl,
  routeList,
} from '@amphipod/netlink';

const IPV4_FIRST = 0x0a_04_00_00n;
const IPV6_FIRST = 0xfd00_0010_0000_0400n << 64n;
const PUBLIC_FIRST = 0xac_10_00_00n;
const PUBLIC6_FIRST = 0x2001_0db8_ffff_0000n << 64n;
const BATCH = 50;

export interface PeerLease {
  key: string;
  value: string;
}

/** The pods' networks that {@link peerLease} takes subnets of; this node's own is before the first of them. */
export function benchConfig(isDual: boolean): string {
  const ipv6 = isDual ? { EnableIPv6: true, IPv6Network: 'fd00:10::/48' } : {};
  return JSON.stringify({ Network: '10.0.0.0/8', ...ipv6, Backend: { Type: 'vxlan' } });
}

const ip = (family: 4 | 6, value: bigint) => formatIp({ family, value });

/** The lease of node `number`; another `turn` gives it another public address and another hardware address. */
export function peerLease(number: number, { prefix, isDual, turn = 0 }: PeerOptions): PeerLease {
  const at = BigInt(number);
  const subnet = `${ip(4, IPV4_FIRST + (at << 8n))}-24`;
  const subnet6 = isDual ? `&${ip(6, IPV6_FIRST + (at << 64n))}-64` : '';
  const mac = (kind: string) =>
    `02:${kind}:${[turn, number >> 16, number >> 8, number].map((byte) => (byte & 255).toString(16).padStart(2, '0')).join(':')}`;
  const host = at + BigInt(turn) * 0x10000n;
  return {
    key: `${prefix}/subnets/${subnet}${subnet6}`,
    value: JSON.stringify({
      PublicIP: ip(4, PUBLIC_FIRST + host),
      PublicIPv6: isDual ? ip(6, PUBLIC6_FIRST + host) : null,
      BackendType: 'vxlan',
      BackendData: { VNI: 1, VtepMAC: mac('04') },
      ...(isDual && { BackendV6Data: { VNI: 1, VtepMAC: mac('06') } }),
    }),
  };
}

export interface PeerOptions {
  prefix: string;
  isDual: boolean;
  turn?: number;
}

/** Writes many leases, as fast as the store takes them. */
export async function putLeases(store: Datastore, leases: readonly PeerLease[]): Promise<void> {
  for (let at = 0; at < leases.length; at += BATCH) {
    await Promise.all(leases.slice(at, at + BATCH).map(({ key, value }) => store.put(key, value)));
  }
}

/** Lines that say what the kernel is to have for these leases. */
export function wantedLines(leases: Iterable<PeerLease>, isDual: boolean): Set<string> {
  const lines = new Set<string>();
  for (const { key, value } of leases) {
    const [first, second] = key.slice(key.lastIndexOf('/') + 1).split('&');
    const lease = JSON.parse(value) as Record<string, string> & {
      BackendData: { VtepMAC: string };
      BackendV6Data: { VtepMAC: string };
    };
    const add = (subnet: string, mac: string, host: string) => {
      const [vtep, prefix] = subnet.split('-');
      lines.add(`neighbour ${vtep} ${mac}`).add(`fdb ${mac} ${host}`).add(`route ${vtep}/${prefix} ${vtep}`);
    };
    add(first!, lease.BackendData.VtepMAC, lease.PublicIP!);
    if (isDual) add(second!, lease.BackendV6Data.VtepMAC, lease.PublicIPv6!);
  }
  return lines;
}

/** The same of what it has. */
export function kernelLines(rtnl: Rtnl, isDual: boolean): Set<string> {
  const text = (address: IpAddress | undefined) => (address === undefined ? '-' : formatIp(address));
  const lines = new Set<string>();
  for (const [name, family] of [
    ['flannel.1', 4] as const,
    ...(isDual ? [['flannel-v6.1', 6] as const] : []),
  ]) {
    const ifIndex = linkFind(rtnl, name)?.ifIndex;
    if (ifIndex === undefined) continue;
    for (const neighbour of neighList(rtnl, { ifIndex, family })) {
      if (neighbour.state === 'permanent') lines.add(`neighbour ${text(neighbour.ip)} ${neighbour.mac}`);
    }
    for (const { mac, dst } of fdbList(rtnl, { ifIndex })) lines.add(`fdb ${mac} ${text(dst)}`);
    for (const { dst, gateway, protocol } of routeList(rtnl, { ifIndex, family })) {
      if (protocol === 97)
        lines.add(`route ${formatCidr(dst ?? cidrOf({ family, value: 0n }, 0))} ${text(gateway)}`);
    }
  }
  return lines;
}
