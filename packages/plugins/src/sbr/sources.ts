import { CniError, type PluginRequest, type Result } from '@amphipod/cni';
import { type Cidr, type IpAddress, parseCidr, parseIp } from '@amphipod/netlink';
import { requirePrevResult } from '../lib/prev-result.ts';
import type { Gateways } from './config.ts';

/** An address of the pod's interface, and where packets from it go. */
export interface Source {
  address: Cidr;
  gateway: IpAddress | undefined;
  /** The gateway is the configuration's, and so the only one. */
  isFixed: boolean;
}

/** The previous result. @throws CniError invalid-network-config */
export function requireChained(request: PluginRequest): Result {
  return requirePrevResult(request, 'This plugin must be called as chained plugin');
}

/** The addresses of the interface, and those of which the result does not say whose they are. @throws CniError when there are none at all */
export function sourcesOf(
  { ips = [], interfaces = [] }: Result,
  ifName: string,
  gateways: Gateways,
): Source[] {
  if (ips.length === 0) {
    throw new CniError('invalid-network-config', `No IP addresses supplied on interface: ${ifName}`);
  }
  return ips
    .filter(({ interface: index }) => {
      const owner = index === undefined ? undefined : interfaces[index];
      return owner === undefined || owner.name === ifName;
    })
    .map(({ address: text, gateway }) => {
      const address = parseCidr(text);
      const fixed = gateways[address.ip.family];
      const found = gateway === undefined ? undefined : parseIp(gateway);
      return { address, gateway: fixed ?? found, isFixed: fixed !== undefined };
    });
}
