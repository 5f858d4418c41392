import { CniError, type PluginRequest } from '@amphipod/cni';
import { type IpAddress, type IpFamily, nft, tryParseIp } from '@amphipod/netlink';
import { type KeyReader, readKeys } from '../lib/read-keys.ts';
import { type BackendConfig, readBackend } from './backend.ts';

export type Protocol = 'tcp' | 'udp' | 'sctp';
export const protocolNumbers: Record<Protocol, number> = {
  tcp: nft.ipProtocols.tcp,
  udp: nft.ipProtocols.udp,
  sctp: nft.ipProtocols.sctp,
};

export interface PortMapping {
  hostPort: number;
  containerPort: number;
  protocol: Protocol;
  /** Undefined: any address of the machine; 0.0.0.0 and ::, any of their family. */
  hostIp: IpAddress | undefined;
}

export interface PortmapConfig extends BackendConfig {
  mappings: PortMapping[];
  /** Masquerades connections of the pod to itself, and from 127.0.0.1. */
  snat: boolean;
  /** Masquerades every connection that comes through a host port; only with `snat`. */
  masqAll: boolean;
}

const MAX_PORT = 65_535;

/** @throws CniError invalid-network-config */
export function readConfig(request: Pick<PluginRequest, 'config'>): PortmapConfig {
  const keys = readKeys(request.config);
  return {
    ...readBackend(keys),
    mappings: readMappings(request),
    snat: keys.boolean('snat') ?? true,
    masqAll: keys.boolean('masqAll') ?? false,
  };
}

/** The same for DEL and GC, which take what ADD refuses for the default. */
export function findConfig(request: Pick<PluginRequest, 'config'>): PortmapConfig {
  try {
    return readConfig(request);
  } catch {
    return { ...readBackend(readKeys({})), mappings: [], snat: true, masqAll: false };
  }
}

/** For DEL, which takes mappings that ADD refuses too. */
export function hasMappings({ config }: Pick<PluginRequest, 'config'>): boolean {
  try {
    return (readKeys(config).object('runtimeConfig')?.objects('portMappings') ?? []).length > 0;
  } catch {
    return true;
  }
}

function readMappings({ config }: Pick<PluginRequest, 'config'>): PortMapping[] {
  const runtimeConfig = readKeys(config).object('runtimeConfig');
  return (runtimeConfig?.objects('portMappings') ?? []).map(readMapping);
}

function readMapping(keys: KeyReader): PortMapping {
  const hostPort = keys.integer('hostPort', -(2 ** 31), 2 ** 31) ?? 0;
  const containerPort = keys.integer('containerPort', -(2 ** 31), 2 ** 31) ?? 0;
  if (hostPort < 1 || hostPort > MAX_PORT) throw invalid(`Invalid host port number: ${hostPort}`);
  if (containerPort < 1 || containerPort > MAX_PORT) {
    throw invalid(`Invalid container port number: ${containerPort}`);
  }
  const protocol = (keys.string('protocol') ?? 'tcp').toLowerCase();
  if (!(protocol in protocolNumbers)) keys.fail('protocol', '"tcp", "udp" or "sctp"');
  const hostIpText = keys.string('hostIP') || undefined;
  const hostIp =
    hostIpText === undefined ? undefined : (tryParseIp(hostIpText) ?? keys.fail('hostIP', 'an IP address'));
  return { hostPort, containerPort, protocol: protocol as Protocol, hostIp };
}

/** True when a mapping holds for connections to addresses of this family. */
export function appliesTo({ hostIp }: PortMapping, family: IpFamily): boolean {
  return hostIp === undefined || hostIp.family === family;
}

function invalid(message: string): CniError {
  return new CniError('invalid-network-config', message);
}
