import { FabricError } from '../errors.ts';
import type { LeaseKeys } from './acquire-lease.ts';
import { type NetworkConfig, parseNetworkConfig } from './network-config.ts';

/**
 * Reads the network configuration from the key `config` of a datastore.
 * @throws FabricError `unavailable` while there is no such key; `invalid-config`
 */
export async function readNetworkConfig(
  { store, prefix }: LeaseKeys,
  { signal }: { signal?: AbortSignal } = {},
): Promise<NetworkConfig> {
  const key = `${prefix}/config`;
  const entry = await store.get(key, signal && { signal });
  if (entry !== undefined) return parseNetworkConfig(entry.value, key);
  const text = `read network config: the datastore has no key ${JSON.stringify(key)}`;
  throw new FabricError('unavailable', text);
}
