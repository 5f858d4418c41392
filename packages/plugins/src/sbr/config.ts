import { CniError, type PluginRequest } from '@amphipod/cni';
import { type IpAddress, type IpFamily, tryParseIp } from '@amphipod/netlink';
import { readKeys } from '../lib/read-keys.ts';

export type Gateways = Partial<Record<IpFamily, IpAddress>>;

export interface SbrConfig {
  /** A table that somebody else fills; undefined: each address gets one of its own with the interface's routes. */
  table: number | undefined;
  /** Instead of those of the result. */
  gateways: Gateways;
  /** The way to the interface's networks stays in the main table, with the address to use. */
  addSourceHints: boolean;
}

const MAX_TABLE = 2 ** 32 - 1;

/** @throws CniError invalid-network-config */
export function readConfig({ config }: Pick<PluginRequest, 'config'>): SbrConfig {
  const keys = readKeys(config);
  return {
    table: keys.integer('table', 1, MAX_TABLE),
    gateways: readGateways(keys.strings('gateways') ?? []),
    addSourceHints: keys.boolean('addSourceHints') ?? false,
  };
}

/** The table alone, for DEL, which does its work whatever else is wrong. */
export function findTable(request: Pick<PluginRequest, 'config'>): number | undefined {
  try {
    return readConfig(request).table;
  } catch {
    return undefined;
  }
}

/** One of each family at most. */
function readGateways(texts: readonly string[]): Gateways {
  if (texts.length > 2) {
    throw invalid('gateways list cannot contain more than 2 entries (one IPv4, one IPv6)');
  }
  const gateways: Gateways = {};
  for (const text of texts) {
    const ip = tryParseIp(text);
    if (ip === undefined) throw invalid(`invalid static gateway IP address: ${text}`);
    if (gateways[ip.family] !== undefined) {
      throw invalid(`gateways list contains multiple IPv${ip.family} addresses: ${texts.join(' and ')}`);
    }
    gateways[ip.family] = ip;
  }
  return gateways;
}

function invalid(message: string): CniError {
  return new CniError('invalid-network-config', message, { key: 'gateways' });
}
