import { CniError, type NetConf, type PluginRequest, type Result } from '@amphipod/cni';
import type { UndoStack } from '@amphipod/linux';
import { type KeyReader, readKeys } from './read-keys.ts';

/** The type of the IPAM plugin; undefined without one. @throws CniError invalid-network-config */
export function readIpamType({ config }: Pick<PluginRequest, 'config'>): string | undefined {
  return readKeys(config).object('ipam')?.string('type') || undefined;
}

/** The section `ipam`, for an IPAM plugin. @throws CniError invalid-network-config without one */
export function requireIpam({ config }: Pick<PluginRequest, 'config'>): KeyReader {
  const keys = readKeys(config);
  return keys.object('ipam') ?? keys.refuse('ipam', "IPAM config missing 'ipam' key");
}

/** Addresses from the IPAM plugin; undoing releases them, also what a failed ADD of it left. @throws CniError its own, or when it gives none */
export async function ipamAdd(
  request: PluginRequest,
  ipamType: string,
  undo: UndoStack,
  /** Instead of the caller's. */
  config?: NetConf,
): Promise<Result> {
  undo.defer(`release addresses with ${ipamType}`, async () => {
    await request.delegate(ipamType, 'DEL');
  });
  const result = await request.delegate(ipamType, 'ADD', config);
  if ((result.ips ?? []).length === 0) {
    throw new CniError('internal', 'IPAM plugin returned missing IP config');
  }
  return result;
}

/** CHECK, STATUS, DEL or GC of the IPAM plugin, where the configuration has one. @throws CniError the IPAM plugin's */
export async function ipamCall(
  request: PluginRequest,
  command: 'DEL' | 'CHECK' | 'STATUS' | 'GC',
): Promise<void> {
  const ipamType = readIpamType(request);
  if (ipamType !== undefined) await request.delegate(ipamType, command);
}
