import { lookup } from 'node:dns/promises';
import { type Cidr, contains, formatIp, parseCidr, tryParseCidr, tryParseIp } from '@amphipod/netlink';
import type { NodeState } from '../agent/agent-state.ts';
import { FabricError } from '../errors.ts';

/**
 * The node that a person means: by its name in Kubernetes, one of its addresses, an address or network inside its subnets, or a name
 * that stands for its address (DNS, /etc/hosts).
 * @throws FabricError `invalid-config` when there is no such node
 */
export async function findNode(nodes: readonly NodeState[], text: string): Promise<NodeState> {
  const named = nodes.find(({ id }) => id === text);
  if (named !== undefined) return named;
  const network = tryParseCidr(text);
  const ip = tryParseIp(text);
  const texts = network === undefined && ip === undefined ? await addressesOf(text) : [text];
  const found = nodes.find((node) => texts.some((one) => isMeant(node, one)));
  if (found !== undefined) return found;
  const stands = texts[0] === text ? '' : ` (${texts.join(', ') || 'a name without an address'})`;
  throw new FabricError(
    'invalid-config',
    `find node ${JSON.stringify(text)}${stands}: no lease of another node has it`,
  );
}

async function addressesOf(name: string): Promise<string[]> {
  try {
    return (await lookup(name, { all: true })).map(({ address }) => address);
  } catch {
    return [];
  }
}

function isMeant({ publicIp, publicIpv6, subnet, ipv6Subnet }: NodeState, text: string): boolean {
  const [ip, network] = [tryParseIp(text), tryParseCidr(text)];
  if (ip !== undefined && [publicIp, publicIpv6].includes(formatIp(ip))) return true;
  return [subnet, ipv6Subnet].some((own) => own !== undefined && isInside(parseCidr(own), ip ?? network));
}

function isInside(subnet: Cidr, what: Parameters<typeof contains>[1] | undefined): boolean {
  return what !== undefined && contains(subnet, what);
}
