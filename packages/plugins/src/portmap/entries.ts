import { CniError, type PluginRequest } from '@amphipod/cni';
import { type Cidr, formatIp, type IpAddress, type NftElement, parseCidr } from '@amphipod/netlink';
import { appliesTo, type PortMapping, type PortmapConfig, protocolNumbers } from './config.ts';
import { type Entry, tables } from './host-ports.ts';

/** The first address of each family of the pod's interface, with its network. */
export function podCidrs({ prevResult = {}, ifName }: Pick<PluginRequest, 'prevResult' | 'ifName'>): Cidr[] {
  const { ips = [], interfaces = [] } = prevResult;
  const isOfPod = (index: number | undefined) => {
    const owner = index === undefined ? undefined : interfaces[index];
    return owner === undefined || (owner.name === ifName && (owner.sandbox ?? '') !== '');
  };
  const ofPod = ips.filter(({ interface: index }) => isOfPod(index)).map(({ address }) => parseCidr(address));
  return ([4, 6] as const)
    .map((family) => ofPod.find(({ ip }) => ip.family === family))
    .filter((cidr) => cidr !== undefined);
}

/** What maps and sets hold for a pod. @throws CniError when a host port is asked for twice */
export function entriesFor(config: PortmapConfig, pod: IpAddress, comment: string): Entry[] {
  const table = tables[pod.family];
  const mappings = config.mappings.filter((mapping) => appliesTo(mapping, pod.family));
  if (mappings.length === 0) return [];
  const ports = new Map<string, Entry>();
  // With conditions they are rules.
  const inMaps = config.conditions[pod.family].length > 0 ? [] : mappings;
  for (const mapping of inMaps) {
    const key = describeMapping(mapping);
    const entry = portEntry(mapping, pod, comment);
    const twin = ports.get(key);
    if (twin !== undefined && twin.element.data?.[1] !== entry.element.data?.[1]) {
      throw new CniError('invalid-network-config', `host port ${key} is mapped to two container ports`);
    }
    ports.set(key, entry);
  }
  const element = (...key: IpAddress[]): NftElement => ({ key, comment });
  return [
    ...ports.values(),
    ...(config.snat ? [{ of: table.hairpin, element: element(pod, pod) }] : []),
    ...(config.snat && pod.family === 4 ? [{ of: table.loopback, element: element(pod) }] : []),
    ...(config.snat && config.masqAll ? [{ of: table.masqAll, element: element(pod) }] : []),
  ];
}

function portEntry(
  { hostIp, hostPort, containerPort, protocol }: PortMapping,
  pod: IpAddress,
  comment: string,
): Entry {
  const table = tables[pod.family];
  const key = [protocolNumbers[protocol], hostPort];
  const data = [pod, containerPort];
  return isAny(hostIp)
    ? { of: table.anyIp, element: { key, data, comment } }
    : { of: table.oneIp, element: { key: [hostIp, ...key], data, comment } };
}

/** No address, or the one that stands for all of its family. */
export function isAny(hostIp: IpAddress | undefined): hostIp is undefined {
  return hostIp === undefined || hostIp.value === 0n;
}

/** `8080/tcp`, `192.0.2.1:8080/tcp`. */
function describeMapping({ hostIp, hostPort, protocol }: PortMapping): string {
  if (isAny(hostIp)) return `${hostPort}/${protocol}`;
  return `${formatEndpoint(hostIp, hostPort)}/${protocol}`;
}

/** `10.88.0.2:80`, `[fd00::2]:80`. */
export function formatEndpoint(ip: IpAddress, port: number): string {
  return `${ip.family === 6 ? `[${formatIp(ip)}]` : formatIp(ip)}:${port}`;
}
