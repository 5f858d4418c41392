import type { PluginRequest } from '@amphipod/cni';
import type { Owner } from './owner.ts';

/** Whom the things made for a request belong to. */
export function ownerOf({ config, containerID, ifName }: PluginRequest): Owner {
  return { network: config.name, containerID, ifName };
}
