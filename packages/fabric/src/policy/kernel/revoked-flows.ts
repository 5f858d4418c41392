import {
  type ConntrackFlow,
  conntrackList,
  formatIp,
  type IpFamily,
  type Nft,
  type NftElement,
  type NftOp,
  nftListElements,
  nftTransaction,
} from '@amphipod/netlink';
import type { PolicyEngine } from '../engine/engine.ts';
import { ipFamilies, revokedSet } from '../engine/policy-table.ts';
import { decideInTiers, type Packet } from '../model/decide.ts';
import type { PolicyWorld } from '../model/policy-world.ts';
import { elementText } from './element-text.ts';

/**
 * Cuts flows that have begun under policies of before. Their entries in conntrack stay, because without them the next packet
 * of either side would begin a new flow, by the rules for its own direction; a set of such flows is asked before conntrack is.
 */
export class RevokedFlows {
  readonly #conn: Nft;
  readonly #world: PolicyWorld;
  readonly #engine: PolicyEngine;

  constructor({ conn, world, engine }: { conn: Nft; world: PolicyWorld; engine: PolicyEngine }) {
    this.#conn = conn;
    this.#world = world;
    this.#engine = engine;
  }

  /** Looks at all flows, and at what the kernel has of them; gives the number of those that it cuts now. @throws NetlinkError */
  sync(): number {
    const changes = ipFamilies.map((family) => this.#changesOf(family));
    nftTransaction(
      this.#conn,
      changes.flatMap(({ ops }) => ops),
    );
    return changes.reduce((sum, { added }) => sum + added, 0);
  }

  #changesOf(family: IpFamily): { ops: NftOp[]; added: number } {
    const of = revokedSet(family);
    const flows = conntrackList(this.#conn, { family }).filter((flow) => this.#isDenied(flow));
    const wanted = byText(
      flows.map(({ src, dst, protocol, srcPort, dstPort }) => ({
        key: [src, dst, protocol, srcPort!, dstPort!],
      })),
    );
    const there = byText(nftListElements(this.#conn, of));
    const added = [...wanted].filter(([text]) => !there.has(text)).map(([, element]) => element);
    // Allowed again, or at their end.
    const removed = [...there].filter(([text]) => !wanted.has(text)).map(([, element]) => element);
    const ops: NftOp[] = [
      { op: 'delete', object: 'elements', of, elements: removed },
      { op: 'add', object: 'elements', of, elements: added },
    ];
    return { ops: ops.filter((op) => 'elements' in op && op.elements.length > 0), added: added.length };
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

function byText(elements: readonly NftElement[]): Map<string, NftElement> {
  return new Map(elements.map((element) => [elementText(element), element]));
}
