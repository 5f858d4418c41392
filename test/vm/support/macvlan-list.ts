import { type NetworkConfigList, parseNetworkConfigList } from '@amphipod/cni';

/** A network of the plugin macvlan alone. */
export function macvlanList(name: string, keys: object): NetworkConfigList {
  const plugins = [{ type: 'macvlan', ...keys }];
  return parseNetworkConfigList(JSON.stringify({ cniVersion: '1.1.0', name, plugins }));
}
