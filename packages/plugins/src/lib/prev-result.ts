import { CniError, type PluginRequest, type Result } from '@amphipod/cni';
import { type Cidr, isMac, tryParseCidr } from '@amphipod/netlink';

type Request = Pick<PluginRequest, 'prevResult' | 'ifName'>;

/** What the plugin before made. `message` has the words of the reference's plugin. @throws CniError invalid-network-config */
export function requirePrevResult(
  { prevResult }: Pick<PluginRequest, 'prevResult'>,
  message = 'Required prevResult missing',
): Result {
  if (prevResult === undefined) throw new CniError('invalid-network-config', message);
  return prevResult;
}

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
