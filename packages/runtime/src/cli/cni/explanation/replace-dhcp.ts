import { isJsonObject, type JsonObject } from '@amphipod/cni';

/** For documentation (RFC 5737), so that nobody takes it for a real lease. */
const standIn = { type: 'static', addresses: [{ address: '192.0.2.2/24', gateway: '192.0.2.1' }] };

/** A lease cannot be had without taking it: a fixed address stands for what a DHCP server would give. */
export function replaceDhcp(list: JsonObject): { list: JsonObject; notes: string[] } {
  let isReplaced = false;
  const plugins = (Array.isArray(list.plugins) ? list.plugins : []).map((plugin: unknown) => {
    if (!isJsonObject(plugin) || !isJsonObject(plugin.ipam) || plugin.ipam.type !== 'dhcp') return plugin;
    isReplaced = true;
    return { ...plugin, ipam: standIn };
  });
  if (!isReplaced) return { list, notes: [] };
  const note = `no lease is taken from the DHCP server: ${standIn.addresses[0]!.address} stands for its address`;
  return { list: { ...list, plugins }, notes: [note] };
}
