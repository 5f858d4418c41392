import type { PluginConfig } from '@amphipod/cni';
import type { Config, World } from './world.ts';

/** One range and a default route. */
export function hostLocal(world: World, more: object = {}): PluginConfig {
  return {
    type: 'host-local',
    subnet: '10.99.0.0/24',
    routes: [{ dst: '0.0.0.0/0' }],
    dataDir: world.dataDir,
    ...more,
  };
}

/** A range and a default route of each family. */
export function dualStack(world: World): PluginConfig {
  return {
    type: 'host-local',
    ranges: [[{ subnet: '10.99.0.0/24' }], [{ subnet: 'fd00:99::/64' }]],
    routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
    dataDir: world.dataDir,
  };
}

/** A bridge `tb0` that is the pods' gateway, with {@link hostLocal}. */
export function bridgeConfig(world: World, more: object = {}): Config {
  return { type: 'bridge', bridge: 'tb0', isGateway: true, ipam: hostLocal(world), ...more };
}
