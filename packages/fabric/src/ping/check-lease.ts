import type { IpFamily } from '@amphipod/netlink';
import type { NodeState, OverlayState } from '../agent/agent-state.ts';
import type { PingCheck } from './ping-node.ts';

/** Leases keep 16 of the 24 bits. */
const VNI_MASK = 0xffff;

/** Whether the two nodes can exchange packets at all, by what their leases say. */
export function checkLease(
  { backend, vni }: Pick<OverlayState, 'backend' | 'vni'>,
  node: NodeState,
  family: IpFamily,
): PingCheck {
  const check = (status: PingCheck['status'], detail: string, advice?: string): PingCheck => ({
    name: 'lease',
    family,
    status,
    detail,
    ...(advice !== undefined && { advice }),
  });
  const sameConfig =
    'both nodes must have the same network configuration; restart the agent that has the old one';
  if (node.backend !== backend) {
    return check('failed', `its backend is "${node.backend}", ours "${backend}"`, sameConfig);
  }
  if (vni !== undefined && node.vni !== undefined && node.vni !== (vni & VNI_MASK)) {
    return check('failed', `its VXLAN network identifier (VNI) is ${node.vni}, ours ${vni}`, sameConfig);
  }
  if (node.passedOver.length > 0) {
    const advice = 'the lease of one of the two must go, or change: amphipod net status';
    return check('failed', `it is passed over: ${node.passedOver.join('; ')}`, advice);
  }
  return check('ok', `${(family === 4 ? node.subnet : node.ipv6Subnet) ?? ''}, backend "${backend}"`);
}
