import { CniError, type PluginRequest } from '@amphipod/cni';
import { requireIpam } from '../lib/ipam.ts';
import type { KeyReader } from '../lib/read-keys.ts';
import { OPTION } from './message.ts';

export interface DhcpConfig {
  network: string;
  socketPath: string;
  /** What the client tells the server, by option number. */
  provide: { code: number; value: Buffer }[];
  /** Options that it asks for. */
  request: number[];
  /** Metric of the routes; 0: none. */
  priority: number;
}

export const DEFAULT_SOCKET_PATH = '/run/cni/dhcp.sock';
const MAX_OPTION_BYTES = 255;

/** Names of dhcp-options(5) that a configuration may use; others are numbers. */
const optionNames: Readonly<Record<string, number>> = {
  'dhcp-client-identifier': OPTION.clientId,
  'subnet-mask': OPTION.subnetMask,
  routers: OPTION.router,
  'host-name': OPTION.hostName,
  'user-class': OPTION.userClass,
  'vendor-class-identifier': OPTION.vendorClass,
};

/** Reads the `ipam` section. @throws CniError invalid-network-config */
export function readConfig({ config, args }: Pick<PluginRequest, 'config' | 'args'>): DhcpConfig {
  const ipam = requireIpam({ config });
  return {
    network: config.name,
    socketPath: ipam.string('daemonSocketPath') || DEFAULT_SOCKET_PATH,
    provide: readProvide(ipam, args),
    request: readRequest(ipam),
    priority: ipam.integer('priority', 0, 2 ** 31 - 1) ?? 0,
  };
}

/** `value`, or what CNI_ARGS has for `fromArg`; the latter wins. */
function readProvide(ipam: KeyReader, args: string): DhcpConfig['provide'] {
  const given = new Map(
    args.split(';').flatMap((pair): [string, string][] => {
      const at = pair.indexOf('=');
      return at < 0 ? [] : [[pair.slice(0, at), pair.slice(at + 1)]];
    }),
  );
  return (ipam.objects('provide') ?? []).flatMap((option) => {
    const name = option.string('option') ?? '';
    const code = readCode(name);
    const text = given.get(option.string('fromArg') ?? '') ?? option.string('value') ?? '';
    const value = Buffer.from(text);
    if (value.length > MAX_OPTION_BYTES) {
      option.refuse('value', `value too long for option ${JSON.stringify(name)}: ${JSON.stringify(text)}`);
    }
    return value.length === 0 ? [] : [{ code, value }];
  });
}

/** Router and subnet mask are asked for unless one of the entries says `skipDefault`. */
function readRequest(ipam: KeyReader): number[] {
  const entries = ipam.objects('request') ?? [];
  const codes = entries.flatMap((entry) => {
    const name = entry.string('option') ?? '';
    return name === '' ? [] : [readCode(name)];
  });
  const skipsDefault = entries.some((entry) => entry.boolean('skipDefault') === true);
  return [...new Set([...codes, ...(skipsDefault ? [] : [OPTION.router, OPTION.subnetMask])])];
}

function readCode(name: string): number {
  const code = Object.hasOwn(optionNames, name) ? optionNames[name] : undefined;
  if (code !== undefined) return code;
  if (/^[0-9]+$/.test(name) && Number(name) <= 255) return Number(name);
  throw new CniError('invalid-network-config', `Can not parse option ${JSON.stringify(name)}`, {
    details: `want a number up to 255, or one of ${Object.keys(optionNames).join(', ')}`,
  });
}
