import {
  type ConntrackFlow,
  conntrackList,
  formatIp,
  type Nft,
  type NftElement,
  type NftOp,
  nftTransaction,
} from '@amphipod/netlink';
import type { PolicyEngine } from '../engine/engine.ts';
import { ipFamilies, revokedSet } from '../engine/policy-table.ts';
import { decideInTiers, type Packet } from '../model/decide.ts';
import type { PolicyWorld } from '../model/policy-world.ts';

interface Revoked {
  family: 4 | 6;
  element: NftElement;
}

/**
 * Cuts flows that have begun under policies of before. Their entries in conntrack stay, because without them the next packet
 * of either side would begin a new flow, by the rules for its own direction; a set of such flows is asked before conntrack is.
 */
export class RevokedFlows {
  readonly #conn: Nft;
  readonly #world: PolicyWorld;
  readonly #engine: PolicyEngine;
  #there = new Map<string, Revoked>();

  constructor({ conn, world, engine }: { conn: Nft; world: PolicyWorld; engine: PolicyEngine }) {
    this.#conn = conn;
    this.#world = world;
    this.#engine = engine;
  }

  /** The table has been written anew: nothing is revoked in it. */
  forget(): void {
    this.#there = new Map();
  }

  /** Looks at all flows; gives the number of those that it cuts now. @throws NetlinkError */
  sync(): number {
    const flows = ipFamilies.flatMap((family) => conntrackList(this.#conn, { family }));
    const wanted = new Map(
      flows.filter((flow) => this.#isDenied(flow)).map((flow) => [flowText(flow), revokedOf(flow)]),
    );
    const added = [...wanted].filter(([text]) => !this.#there.has(text)).map(([, one]) => one);
    // Allowed again, or at their end.
    const removed = [...this.#there].filter(([text]) => !wanted.has(text)).map(([, one]) => one);
    nftTransaction(this.#conn, [...elementOps('delete', removed), ...elementOps('add', added)]);
    this.#there = wanted;
    return added.length;
  }

  #isDenied({
    src,
    dst,
    protocol,
    srcPort,
    dstPort,
    replySrc = dst,
    replySrcPort = dstPort,
  }: ConntrackFlow): boolean {
    // Messages of ICMP are no flows that go on.
    if (srcPort === undefined || replySrcPort === undefined) return false;
    const packet: Packet = { src, dst: replySrc, protocol, srcPort, dstPort: replySrcPort };
    if (formatIp(src) === formatIp(replySrc)) return false;
    return (
      this.#isDeniedAt(packet, { ip: src, direction: 'egress' }) ||
      this.#isDeniedAt(packet, { ip: replySrc, direction: 'ingress' })
    );
  }

  #isDeniedAt(
    packet: Packet,
    { ip, direction }: { ip: Packet['src']; direction: 'ingress' | 'egress' },
  ): boolean {
    return this.#world.itemsAt(ip).some(({ id }) => {
      const tiers = this.#engine.policiesOf(id, direction);
      return tiers !== undefined && !decideInTiers(this.#world, tiers, { direction, packet }).isAllowed;
    });
  }
}

function flowText({ src, dst, protocol, srcPort, dstPort }: ConntrackFlow): string {
  return `${formatIp(src)} ${formatIp(dst)} ${protocol} ${srcPort} ${dstPort}`;
}

function revokedOf({ family, src, dst, protocol, srcPort, dstPort }: ConntrackFlow): Revoked {
  return { family, element: { key: [src, dst, protocol, srcPort!, dstPort!] } };
}

function elementOps(op: 'add' | 'delete', revoked: readonly Revoked[]): NftOp[] {
  return ipFamilies.flatMap((family): NftOp[] => {
    const elements = revoked.filter((one) => one.family === family).map(({ element }) => element);
    return elements.length === 0 ? [] : [{ op, object: 'elements', of: revokedSet(family), elements }];
  });
}
