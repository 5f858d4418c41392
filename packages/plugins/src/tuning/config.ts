import { CniError, type PluginRequest, parseArgs } from '@amphipod/cni';
import { keyFinder, readKeys } from '../lib/read-keys.ts';
import type { LinkSettings } from './link-settings.ts';

export interface TuningConfig {
  /** Keys as they are written, and values. */
  sysctls: [key: string, value: string][];
  /** What the pod's interface is to be set to; absent stays. */
  link: LinkSettings;
  /** The hardware address as it was asked for, which the result repeats. */
  macText: string | undefined;
  /** Where the settings from before are kept. */
  dataDir: string;
}

const DEFAULT_DATA_DIR = '/run/cni/tuning';
const MAX_INT = 2 ** 31 - 1;
const MAC = /^([0-9a-f]{2}([:-])[0-9a-f]{2}(?:\2[0-9a-f]{2}){4}|[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4})$/i;

/** Reads what ADD and CHECK need. @throws CniError invalid-network-config, invalid-environment */
export function readConfig(request: Pick<PluginRequest, 'config' | 'args' | 'duplicateKeys'>): TuningConfig {
  refuseDuplicates(request);
  const { config, args } = request;
  const keys = readKeys(config);
  const cniArgs = keys.object('args')?.object('cni');
  const fromArgs = args === '' ? undefined : parseArgs(args, ['MAC']).MAC;
  const macText =
    (cniArgs?.string('mac') ??
      (keys.object('runtimeConfig')?.string('mac') || fromArgs || keys.string('mac'))) ||
    undefined;
  const mtu = cniArgs?.integer('mtu', 0, MAX_INT) ?? keys.integer('mtu', 0, MAX_INT) ?? 0;
  const promisc = cniArgs?.boolean('promisc') ?? keys.boolean('promisc') ?? false;
  const allMulti = cniArgs?.boolean('allmulti') ?? keys.boolean('allmulti');
  const txQueueLength = cniArgs?.integer('txQLen', 0, MAX_INT) ?? keys.integer('txQLen', 0, MAX_INT);
  return {
    // Those of `args` override.
    sysctls: [
      ...new Map([...(keys.stringMembers('sysctl') ?? []), ...(cniArgs?.stringMembers('sysctl') ?? [])]),
    ],
    link: {
      ...(macText !== undefined && { mac: readMac(macText) }),
      ...(promisc && { promisc }),
      ...(mtu !== 0 && { mtu }),
      ...(allMulti !== undefined && { allMulti }),
      ...(txQueueLength !== undefined && { txQueueLength }),
    },
    macText,
    dataDir: readDataDir(request),
  };
}

/** The directory alone, for DEL and GC, which do their work whatever else is wrong. */
export function readDataDir({ config }: Pick<PluginRequest, 'config'>): string {
  const dataDir = keyFinder(config)('dataDir');
  return typeof dataDir === 'string' && dataDir !== '' ? dataDir : DEFAULT_DATA_DIR;
}

function refuseDuplicates({ duplicateKeys }: Pick<PluginRequest, 'duplicateKeys'>): void {
  const isSysctl = ([first, ...rest]: readonly string[]) =>
    first?.toLowerCase() === 'sysctl' && rest.length === 1;
  if (duplicateKeys?.().some(isSysctl)) throw invalid('duplicated sysctl keys are not allowed');
}

/** `c2:11:22:33:44:55`, also from `c2-11-22-33-44-55` and `c211.2233.4455`. */
function readMac(text: string): string {
  if (!MAC.test(text)) {
    throw invalid(`invalid args ${text} for MAC addr: address ${text}: invalid MAC address`);
  }
  return text
    .toLowerCase()
    .replaceAll(/[^0-9a-f]/g, '')
    .match(/../g)!
    .join(':');
}

function invalid(message: string): CniError {
  return new CniError('invalid-network-config', message);
}
