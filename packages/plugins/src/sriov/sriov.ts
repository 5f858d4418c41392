import { type Plugin, specVersions } from '@amphipod/cni';
import type { PluginHost } from '../lib/host.ts';
import { add } from './add.ts';
import { check, status } from './check.ts';
import { del, gc } from './del.ts';
import { defaultPlaces, type Places } from './places.ts';

/** The plugin over these places; others than {@link defaultPlaces} in tests. */
export function sriovIn(places: Places): Plugin<PluginHost> {
  return {
    type: 'sriov',
    about: 'CNI sriov plugin of Amphipod',
    versions: specVersions,
    add: (request, host) => add(request, host, places),
    del: (request, host) => del(request, host, places),
    check: (request, host) => check(request, host, places),
    status: (request, host) => status(request, host, places),
    gc: (request, host) => gc(request, host, places),
  };
}

/** Gives a pod a virtual function of a network card; docs/plugins/sriov.md */
export const sriov: Plugin<PluginHost> = sriovIn(defaultPlaces);
