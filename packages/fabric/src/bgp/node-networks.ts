import { type Cidr, type IpFamily, ipBits, networkOf, parseCidr } from '@amphipod/netlink';
import { type BgpFacts, type NodeBgp, settingsOf } from './bgp-facts.ts';

/** The node's blocks of a family. Single addresses are the kernel's routes already. */
export function ownBlocks({ blocks }: BgpFacts, node: string, family: IpFamily): Cidr[] {
  return blocks.flatMap((block) =>
    block.node === node && block.cidr.ip.family === family && block.cidr.prefix < ipBits(family)
      ? block.cidr
      : [],
  );
}

const EXCLUDING_LABEL = 'node.kubernetes.io/exclude-from-external-load-balancers';

/** Networks of services that every node tells of as a whole, unless its label says that it does not. */
export function serviceNetworks(facts: BgpFacts, own: NodeBgp, family: IpFamily): Cidr[] {
  if (Object.hasOwn(own.labels, EXCLUDING_LABEL)) return [];
  return serviceRanges(facts, own.name, family);
}

/** The networks of services, of which single addresses may be told as well. */
export function serviceRanges(facts: BgpFacts, node: string, family: IpFamily): Cidr[] {
  const settings = settingsOf(facts, node);
  const balancers =
    settings.serviceLoadBalancerAggregation === 'Disabled' ? [] : settings.serviceLoadBalancerIPs;
  return [settings.serviceClusterIPs, settings.serviceExternalIPs, balancers].flatMap((ranges) =>
    (ranges ?? []).flatMap(({ cidr }) => {
      const network = cidr === undefined ? undefined : networkOf(parseCidr(cidr));
      return network?.ip.family === family ? network : [];
    }),
  );
}
