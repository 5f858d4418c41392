import { type Cidr, type IpFamily, networkOf, tryParseCidr, tryParseIp } from '@amphipod/netlink';
import { FabricError } from '../errors.ts';
import type { KubernetesObject } from '../kubernetes/list-objects.ts';
import { formatAttributes, type Lease, type LeaseAttributes, leaseName, parseLease } from './lease.ts';

/** The parts of a Kubernetes node that concern an overlay. */
export interface KubernetesNode extends KubernetesObject {
  spec?: { podCIDR?: string; podCIDRs?: readonly string[] };
  status?: { conditions?: readonly { type: string; status: string }[] };
}

/** What is told in annotations of a node; flannel's names, without their prefix. */
const annotationNames = [
  'kube-subnet-manager',
  'backend-type',
  'backend-data',
  'backend-v6-data',
  'public-ip',
  'public-ipv6',
  'public-ip-overwrite',
  'public-ipv6-overwrite',
] as const;
type AnnotationName = (typeof annotationNames)[number];

/** Full names of the annotations. */
export type AnnotationKeys = Readonly<Record<AnnotationName, string>>;

/** `flannel.alpha.coreos.com`, or with a slash and the beginning of the names: `example.com/east`. */
const PREFIX_PATTERN = /^[a-z0-9_-]+(\.[a-z0-9_-]+)+(\/([a-z0-9_-]+)?)?$/;

/** @throws FabricError `invalid-config` */
export function annotationKeys(prefix: string): AnnotationKeys {
  if (!PREFIX_PATTERN.test(prefix)) {
    const text = `read annotation prefix ${JSON.stringify(prefix)}: must be a domain name, perhaps with "/" and the beginning of a name`;
    throw new FabricError('invalid-config', text);
  }
  const withSlash = prefix.includes('/') ? prefix : `${prefix}/`;
  const whole = /[/-]$/.test(withSlash) ? withSlash : `${withSlash}-`;
  return Object.fromEntries(annotationNames.map((name) => [name, whole + name])) as AnnotationKeys;
}

/** flannel's value for a family without data, in the annotations of a node. */
const NO_DATA = 'null';

/** The fields of flannel's lease value, each of which is an annotation too. */
interface LeaseJson {
  PublicIP?: string | undefined;
  PublicIPv6?: string | null | undefined;
  BackendType?: string | undefined;
  BackendData?: unknown;
  BackendV6Data?: unknown;
}

/**
 * The annotations that tell other nodes of this one, byte for byte as flannel writes them on a new node; null for those
 * which must not be there.
 */
export function annotationsOf(
  attributes: LeaseAttributes,
  keys: AnnotationKeys,
): Record<string, string | null> {
  const value = JSON.parse(formatAttributes(attributes)) as LeaseJson;
  // flannel's own rules for when a family is there.
  const hasIpv4 = value.BackendType !== 'vxlan' || value.BackendData !== undefined;
  const hasIpv6 =
    value.BackendType === 'host-gw' ? value.PublicIPv6 != null : value.BackendV6Data !== undefined;
  const dataText = (data: unknown) => (data === undefined ? NO_DATA : JSON.stringify(data));
  return {
    [keys['kube-subnet-manager']]: 'true',
    [keys['backend-type']]: attributes.backendType,
    [keys['backend-data']]: hasIpv4 ? dataText(value.BackendData) : null,
    [keys['public-ip']]: hasIpv4 ? value.PublicIP! : null,
    [keys['backend-v6-data']]: hasIpv6 ? dataText(value.BackendV6Data) : null,
    [keys['public-ipv6']]: (hasIpv6 && value.PublicIPv6) || null,
  };
}

/** What a node tells in its annotations, with its subnets; undefined for a node that no flannel serves. */
export function leaseOfNode({ metadata, spec }: KubernetesNode, keys: AnnotationKeys): Lease | undefined {
  const read = (name: AnnotationName) => metadata.annotations?.[keys[name]];
  const subnets = podSubnets(spec);
  if (subnets === undefined || read('kube-subnet-manager') !== 'true') return undefined;
  const value: LeaseJson = {
    PublicIP: read('public-ip'),
    PublicIPv6: read('public-ipv6'),
    BackendType: read('backend-type'),
    BackendData: parseData(read('backend-data')),
    BackendV6Data: parseData(read('backend-v6-data')),
  };
  return parseLease(leaseName(subnets), JSON.stringify(value));
}

function parseData(text = NO_DATA): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** A node's parts of the pod networks; undefined while it has none, and for what cannot be understood. */
export function podSubnets(spec: KubernetesNode['spec']): Pick<Lease, 'subnet' | 'ipv6Subnet'> | undefined {
  const texts = spec?.podCIDRs ?? (spec?.podCIDR ? [spec.podCIDR] : []);
  const cidrs = texts.map((text) => tryParseCidr(text));
  if (cidrs.length === 0 || cidrs.includes(undefined)) return undefined;
  const [subnet, ipv6Subnet] = ([4, 6] as const).map((family) => firstOf(cidrs as Cidr[], family));
  return { ...(subnet && { subnet }), ...(ipv6Subnet && { ipv6Subnet }) };
}

function firstOf(cidrs: readonly Cidr[], family: IpFamily): Cidr | undefined {
  const found = cidrs.find(({ ip }) => ip.family === family);
  return found && networkOf(found);
}

/**
 * The attributes with the addresses that an administrator has put on the node (`public-ip-overwrite`), because others see the node
 * behind another address than it sees itself.
 * @throws FabricError `invalid-config` for what is no address
 */
export function withOverwrites(
  attributes: LeaseAttributes,
  { metadata }: KubernetesNode,
  keys: AnnotationKeys,
): LeaseAttributes {
  const read = (name: AnnotationName, family: IpFamily) => {
    const text = metadata.annotations?.[keys[name]];
    if (!text) return undefined;
    const ip = tryParseIp(text);
    if (ip?.family === family) return ip;
    const where = `read node ${JSON.stringify(metadata.name)}: annotation ${keys[name]}`;
    throw new FabricError('invalid-config', `${where}: ${JSON.stringify(text)}: not an IPv${family} address`);
  };
  const publicIp = attributes.publicIp && read('public-ip-overwrite', 4);
  const publicIpv6 = attributes.publicIpv6 && read('public-ipv6-overwrite', 6);
  return { ...attributes, ...(publicIp && { publicIp }), ...(publicIpv6 && { publicIpv6 }) };
}
