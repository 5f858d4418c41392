import type { PluginRequest } from '@amphipod/cni';
import { type Cidr, isMac, tryParseCidr } from '@amphipod/netlink';

type Request = Pick<PluginRequest, 'prevResult' | 'ifName'>;

/** The addresses of the pod's interface in the previous result; what cannot be read is left out, for DEL. */
export function podAddresses({ prevResult, ifName }: Request): Cidr[] {
  const { interfaces = [], ips = [] } = prevResult ?? {};
  const isMine = (index: number | undefined) => index === undefined || interfaces[index]?.name === ifName;
  return ips
    .filter((ip) => isMine(ip.interface))
    .map(({ address }) => tryParseCidr(address))
    .filter((cidr) => cidr !== undefined);
}

/** The hardware address of the pod's interface in the previous result, when it is one. */
export function podMac({ prevResult, ifName }: Request): string | undefined {
  const mac = prevResult?.interfaces?.find(
    ({ name, sandbox }) => name === ifName && sandbox !== undefined,
  )?.mac;
  return mac !== undefined && isMac(mac) ? mac.toLowerCase() : undefined;
}
