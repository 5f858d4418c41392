import { bridgeConflist, type TestNetwork } from './network.ts';

/** What runs behind the bridge. */
const morePlugins = {
  'bridge, portmap': [],
  'bridge, portmap, firewall, tuning': [{ type: 'firewall' }, { type: 'tuning', mtu: 1400 }],
} as const;

export type ChainName = keyof typeof morePlugins;

export const chainNames = Object.keys(morePlugins) as ChainName[];

/** A configuration list of these plugins; see {@link bridgeConflist}. */
export function chainConflist(chain: ChainName, network: TestNetwork, dataDir: string): string {
  const list = JSON.parse(bridgeConflist(network, dataDir)) as { plugins: object[] };
  return JSON.stringify({ ...list, plugins: [...list.plugins, ...morePlugins[chain]] });
}
