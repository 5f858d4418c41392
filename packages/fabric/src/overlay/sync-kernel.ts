import type { Genl, MonitorEvent, Nft, Rtnl } from '@amphipod/netlink';
import { type Mended, nothingMended, totalMended } from './mended.ts';
import { isAsWanted, syncDevice } from './sync-devices.ts';
import {
  applyPeerChanges,
  isPeerDeviation,
  mendPeer,
  type PeerEvent,
  type Removals,
  syncPeers,
} from './sync-peers.ts';
import {
  applyRouteChanges,
  type FamilyRoutes,
  isRouteDeviation,
  mendRoute,
  type RouteEvent,
  syncRoutes,
} from './sync-routes.ts';
import { syncRules, type WrittenRules } from './sync-rules.ts';
import { applyTunnelChanges, isTunnelAsWanted, isTunnelUntouched, syncTunnel } from './sync-tunnel.ts';
import type { WantedFamily } from './wanted-family.ts';
import type { Underlay, WantedState } from './wanted-state.ts';
import type { WantedTunnel } from './wanted-tunnel.ts';

/** Connections into the network namespace of the node, and what is known of it. */
export interface KernelView {
  rtnl: Rtnl;
  nft: Nft;
  /** Must be there for wireguard. */
  genl?: Genl;
  /** Set by {@link syncKernel}. */
  writtenRules?: WrittenRules;
  /** Interface indexes of our devices as of the last {@link syncKernel}, with what is wanted there. */
  devices?: ReadonlyMap<number, WantedFamily>;
  /** Interface indexes of our WireGuard devices as of the last {@link syncKernel}. */
  tunnels?: ReadonlyMap<WantedTunnel, number>;
  /** Of the last {@link syncKernel} or {@link syncChanges}. */
  lastMended?: Mended;
}

/** An announcement about an entry that is not as it is wanted. */
export type EntryEvent = PeerEvent | RouteEvent;

/**
 * Makes the kernel as it is wanted: finds all differences, whoever made them, and mends those only. New entries come before
 * the routes that need them, old ones go after.
 * @returns the number of differences mended; 0 says that everything was right
 */
export async function syncKernel(view: KernelView, state: WantedState): Promise<number> {
  const { rtnl } = view;
  const mended = nothingMended();
  view.lastMended = mended;
  mended.rules = mendRules(view, state);
  const devices = new Map<number, WantedFamily>();
  const removals: Removals = [];
  for (const family of state.families) {
    // What is looked at now need not be gone through once more.
    for (const table of [family.neighbours, family.fdb, family.routes]) table.takeChanges();
    if (family.device === undefined) continue;
    const done = await syncDevice(rtnl, family.device);
    mended.device += done.mended;
    mended.peer += syncPeers(rtnl, { ifIndex: done.ifIndex, family, removals });
    devices.set(done.ifIndex, family);
  }
  view.devices = devices;
  const tunnels = new Map<WantedTunnel, number>();
  for (const tunnel of state.tunnels) {
    const done = await syncTunnel({ rtnl, genl: genlOf(view) }, tunnel, removals);
    mended.device += done.device;
    mended.peer += done.peer;
    tunnels.set(tunnel, done.ifIndex);
  }
  view.tunnels = tunnels;
  for (const routes of familyRoutes(view, state)) mended.route += syncRoutes(rtnl, routes);
  for (const remove of removals) remove();
  return totalMended(mended);
}

/**
 * Makes what leases have changed since the last time, and mends what announcements named; the rest of the kernel is not looked at.
 * To be called after a {@link syncKernel} only.
 * @returns the number of differences
 */
export function syncChanges(view: KernelView, state: WantedState, events: readonly EntryEvent[]): number {
  const { rtnl, devices = new Map<number, WantedFamily>() } = view;
  const mended = nothingMended();
  view.lastMended = mended;
  mended.rules = mendRules(view, state);
  const removals: Removals = [];
  for (const [ifIndex, family] of devices)
    mended.peer += applyPeerChanges(rtnl, { ifIndex, family, removals });
  for (const tunnel of state.tunnels) mended.peer += applyTunnelChanges(genlOf(view), tunnel, removals);
  const routes = familyRoutes(view, state);
  for (const one of routes) mended.route += applyRouteChanges(rtnl, one);
  const unclear = new Set<FamilyRoutes>();
  for (const event of events) {
    if (event.subject !== 'route') {
      const ifIndex = deviceOf(event);
      const family = devices.get(ifIndex);
      if (family !== undefined) mended.peer += mendPeer(rtnl, event, { ifIndex, family, removals });
      continue;
    }
    for (const one of routes) {
      const done = mendRoute(rtnl, event, one);
      if (done === undefined) unclear.add(one);
      else mended.route += done;
    }
  }
  for (const one of unclear) mended.route += syncRoutes(rtnl, one);
  for (const remove of removals) remove();
  return totalMended(mended);
}

function mendRules(view: KernelView, state: WantedState): number {
  const { written, mended } = syncRules(view.nft, state, view.writtenRules);
  view.writtenRules = written;
  return mended;
}

/** False when the keys, ports or peers of tunnels are not as wanted, of which the kernel tells nothing. */
export function areTunnelsUntouched(view: KernelView, state: WantedState): boolean {
  return state.tunnels.every((tunnel) => isTunnelUntouched(genlOf(view), tunnel));
}

function genlOf(view: KernelView): Genl {
  if (view.genl === undefined)
    throw new Error('sync WireGuard devices: no connection to the kernel for them');
  return view.genl;
}

function familyRoutes({ devices, tunnels }: KernelView, { families }: WantedState): FamilyRoutes[] {
  const indexes = new Map([
    ...[...(devices ?? [])].map(([ifIndex, family]) => [family, ifIndex] as const),
    ...[...(tunnels ?? [])].flatMap(([tunnel, ifIndex]) =>
      tunnel.families.map((family) => [family, ifIndex] as const),
    ),
  ]);
  return families.map((family) => ({ family, deviceIndex: indexes.get(family) }));
}

/**
 * What an announcement asks for: that all is looked at, or the entry that it names; undefined for the many things that happen on a
 * node and are nothing to us, or as they are wanted.
 */
export function judgeEvent(
  event: MonitorEvent,
  { view, state, underlay }: { view: KernelView; state: WantedState; underlay: Underlay },
): 'all' | EntryEvent | undefined {
  const { devices } = view;
  switch (event.subject) {
    case 'lost':
      return 'all';
    case 'link': {
      const { link, change } = event;
      if (link.ifIndex === underlay.ifIndex) return 'all';
      // A device of the same name with another index is told of as a link first.
      const tunnel = state.tunnels.find(({ device }) => device.name === link.name);
      if (tunnel !== undefined) {
        const isSame = change === 'new' && view.tunnels?.get(tunnel) === link.ifIndex;
        return isSame && isTunnelAsWanted(link, tunnel.device) ? undefined : 'all';
      }
      const family = state.families.find(({ device }) => device?.name === link.name);
      if (family?.device === undefined) return undefined;
      const isFine =
        change === 'new' && devices?.get(link.ifIndex) === family && isAsWanted(link, family.device);
      return isFine ? undefined : 'all';
    }
    case 'address':
      return isOwnLink(view, event.address.ifIndex) ? 'all' : undefined;
    case 'neighbour':
    case 'fdb': {
      const family = devices?.get(deviceOf(event));
      return family !== undefined && isPeerDeviation(event, family) ? event : undefined;
    }
    case 'route': {
      const isOne = familyRoutes(view, state).some((routes) => isRouteDeviation(event, routes));
      return isOne ? event : undefined;
    }
  }
}

function isOwnLink({ devices, tunnels }: KernelView, ifIndex: number): boolean {
  return devices?.has(ifIndex) === true || [...(tunnels?.values() ?? [])].includes(ifIndex);
}

function deviceOf(event: PeerEvent): number {
  return event.subject === 'neighbour' ? event.neighbour.ifIndex : event.entry.ifIndex;
}
