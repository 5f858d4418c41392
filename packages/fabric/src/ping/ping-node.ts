import { type IpAddress, type IpFamily, ipPlus, parseCidr, parseIp } from '@amphipod/netlink';
import type { NodeState, OverlayState } from '../agent/agent-state.ts';
import { checkLease } from './check-lease.ts';
import { EchoProbe } from './echo.ts';
import { type FullPackets, judge, type Observations } from './judge.ts';
import { probePort } from './udp-port.ts';

/** A packet as `ping` sends it. */
export const SMALL_BYTES = 84;
/** Bytes that the outer packet has more, its IP header included. */
const overheads: Record<string, Record<IpFamily, number>> = {
  vxlan: { 4: 50, 6: 70 },
  wireguard: { 4: 60, 6: 80 },
};
const VXLAN_PORT = 8472;

/** One thing that was tried. */
export interface PingCheck {
  name: 'lease' | 'underlay' | 'underlay MTU' | 'port' | 'overlay' | 'overlay MTU';
  family: IpFamily;
  /** `skipped`: says nothing, for the reason in `detail`. */
  status: 'ok' | 'failed' | 'skipped';
  detail: string;
  /** What to look at when it failed. */
  advice?: string;
}

/** What there is to try for one family. */
export interface PingPlan {
  family: IpFamily;
  backend: string;
  /** Our address and the node's on the underlay. */
  own: IpAddress;
  peer: IpAddress;
  /** An address of the node in the overlay. */
  inner: IpAddress;
  /** Whether the node always has that address; with host-gw only while it has pods. */
  isInnerSure: boolean;
  port: number | undefined;
  /** MTU of pods, and size of a full packet on the underlay. */
  innerMtu: number;
  outerMtu: number;
}

/** Tries to reach a node in every family that both have, step by step. Needs root. @throws SyscallError EPERM */
export async function pingNode(overlay: OverlayState, node: NodeState): Promise<PingCheck[]> {
  const checks: PingCheck[] = [];
  for (const family of [4, 6] as const) {
    const plan = planOf(overlay, node, family);
    if (plan === undefined) continue;
    checks.push(checkLease(overlay, node, family), ...judge(plan, await observe(plan)));
  }
  return checks;
}

/** Undefined when the two have no subnets of this family. */
function planOf(overlay: OverlayState, node: NodeState, family: IpFamily): PingPlan | undefined {
  const { underlay, backend, mtu } = overlay;
  const [ownSubnet, subnet] =
    family === 4 ? [overlay.subnet, node.subnet] : [overlay.ipv6Subnet, node.ipv6Subnet];
  if (ownSubnet === undefined || subnet === undefined) return undefined;
  // A single tunnel for both families has its outer packets in one of them.
  const outer = ([family, family === 4 ? 6 : 4] as const).find(
    (one) =>
      (one === 4 ? node.publicIp : node.publicIpv6) !== undefined && ownOf(underlay, one) !== undefined,
  );
  if (outer === undefined) return undefined;
  const port = portOf(overlay, node, family);
  const isDirect = node.via === 'link';
  const base = parseCidr(subnet).ip;
  return {
    family,
    backend,
    own: parseIp(ownOf(underlay, outer)!),
    peer: parseIp((outer === 4 ? node.publicIp : node.publicIpv6)!),
    inner: backend === 'host-gw' ? ipPlus(base, 1n)! : base,
    isInnerSure: backend !== 'host-gw',
    port: isDirect || backend === 'host-gw' ? undefined : port,
    innerMtu: mtu,
    outerMtu: isDirect ? mtu : mtu + (overheads[backend]?.[outer] ?? 0),
  };
}

/** Where a family's packets arrive at the node. One tunnel for both families has one port. */
function portOf(overlay: OverlayState, node: NodeState, family: IpFamily): number {
  const isSecond = family === 6 && overlay.ipv6Port !== overlay.port;
  return (isSecond ? (node.ipv6Port ?? overlay.ipv6Port) : (node.port ?? overlay.port)) || VXLAN_PORT;
}

function ownOf({ ip, ipv6 }: OverlayState['underlay'], family: IpFamily): string | undefined {
  return family === 4 ? ip : ipv6;
}

async function observe(plan: PingPlan): Promise<Observations> {
  const { own, peer, inner, port, innerMtu, outerMtu } = plan;
  using under = new EchoProbe({ to: peer, source: own });
  using over = new EchoProbe({ to: inner });
  const [underlay, overlay] = await Promise.all([under.probe(SMALL_BYTES), over.probe(SMALL_BYTES)]);
  const seen: Observations = { underlay, overlay };
  if (port !== undefined) seen.port = await probePort(peer, port, own);
  if (underlay.result === 'answered') seen.underlayBig = await probeBig(under, outerMtu);
  if (overlay.result === 'answered') seen.overlayBig = await probeBig(over, innerMtu);
  return seen;
}

async function probeBig(probe: EchoProbe, packetBytes: number): Promise<FullPackets> {
  const outcome = await probe.probe(packetBytes);
  if (outcome.result === 'answered') return { outcome, largest: packetBytes };
  return { outcome, largest: await probe.largest(SMALL_BYTES, packetBytes) };
}
