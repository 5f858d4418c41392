import { CniError, type PluginRequest } from '@amphipod/cni';
import { isCode } from '@amphipod/linux';
import { type Link, linkFind, type Rtnl, routeList } from '@amphipod/netlink';
import { checkFailure } from './check-interface.ts';
import type { PluginHost, Pod } from './host.ts';
import { type KeyReader, readKeys } from './read-keys.ts';

/** The keys of plugins whose link sits on another one. */
export interface ParentConfig {
  /** Undefined: the interface of the default route. */
  master: string | undefined;
  /** The parent is in the pod and not on the host. */
  linkInContainer: boolean;
  /** 0: the parent's. */
  mtu: number;
}

/** @throws CniError invalid-network-config */
export function readParent(keys: KeyReader): ParentConfig {
  return {
    master: keys.string('master') || undefined,
    linkInContainer: keys.boolean('linkInContainer') ?? false,
    mtu: keys.integer('mtu', -(2 ** 31), 2 ** 31 - 1) ?? 0,
  };
}

/** A parent and the connection that it is asked about with. */
export interface Parent {
  link: Link;
  rtnl: Rtnl;
}

/** The link that the pod's one is to sit on. @throws CniError when there is none */
export function findParent(host: PluginHost, pod: Pod, config: ParentConfig): Parent {
  const rtnl = config.linkInContainer ? pod.rtnl : host.rtnl;
  return { rtnl, link: config.master === undefined ? defaultRouteLink(rtnl) : masterOf(rtnl, config) };
}

function masterOf(rtnl: Rtnl, { master, linkInContainer }: ParentConfig): Link {
  const link = linkFind(rtnl, master!);
  if (link !== undefined) return link;
  const where = linkInContainer ? 'the container' : 'the host';
  throw new CniError(
    'internal',
    `failed to lookup master ${JSON.stringify(master)}: Link not found on ${where}`,
  );
}

/** The way out of the first default route, IPv4 before IPv6. */
function defaultRouteLink(rtnl: Rtnl): Link {
  for (const family of [4, 6] as const) {
    for (const route of routeList(rtnl, { family })) {
      const ifIndex = route.ifIndex ?? route.nextHops?.[0]?.ifIndex;
      const isDefault = route.dst === undefined || route.dst.prefix === 0;
      const link = isDefault && ifIndex !== undefined ? linkFind(rtnl, ifIndex) : undefined;
      // Unreachable and blackhole routes lead to the loopback.
      if (link !== undefined && !link.flags.loopback) return link;
    }
  }
  throw new CniError('internal', 'no default route interface found');
}

/** @throws CniError that names both MTUs (field case NET-07) */
export function checkMtu(mtu: number, { link }: Parent): void {
  if (mtu < 0 || mtu > link.mtu) {
    throw new CniError('invalid-network-config', `invalid MTU ${mtu}, must be [0, master MTU(${link.mtu})]`, {
      key: 'mtu',
    });
  }
}

/** Says what stands behind the kernel's bare errno when a link cannot be made on its parent, or not brought up. */
export function explainParentFailure(error: unknown, { link }: Parent, kind: string): unknown {
  const because = (why: string) =>
    new CniError('internal', `failed to create ${kind}: master ${JSON.stringify(link.name)} ${why}`, {
      details: (error as Error).message,
      cause: error,
    });
  if (isCode(error, 'ENETDOWN')) return because('is down');
  if (isCode(error, 'EEXIST')) return because('has such an interface already');
  if (isCode(error, 'EADDRINUSE')) return because('has an interface of this hardware address already');
  if (isCode(error, 'EBUSY')) {
    return because(
      link.masterIndex === undefined ? 'is in use in another way' : 'is a port of a bridge or bond',
    );
  }
  // What else the kernel could mean by it is looked at before.
  if (isCode(error, 'EINVAL') && kind === 'macvlan') {
    return because('has other macvlans, and mode "passthru" is for one alone');
  }
  return error;
}

/** STATUS: a named parent on the host that is not there keeps every ADD from working. @throws CniError plugin-not-available */
export function parentStatus({ config }: PluginRequest, host: PluginHost): void {
  const parent = readParent(readKeys(config));
  if (parent.linkInContainer) return;
  try {
    if (parent.master === undefined) defaultRouteLink(host.rtnl);
    else masterOf(host.rtnl, parent);
  } catch (cause) {
    if (!(cause instanceof CniError)) throw cause;
    throw new CniError('plugin-not-available', cause.msg, { cause });
  }
}

/**
 * CHECK of the pod's link against the parent that the configuration names. Without a name there is nothing to compare: the
 * default route may have moved since ADD, and the pod is well.
 */
export function checkParent(host: PluginHost, pod: Pod, config: ParentConfig, link: Link): void {
  if (config.master === undefined) return;
  const rtnl = config.linkInContainer ? pod.rtnl : host.rtnl;
  const parent = linkFind(rtnl, config.master);
  if (parent === undefined) {
    throw checkFailure(`failed to lookup master ${JSON.stringify(config.master)}: Link not found`);
  }
  // The kernel puts a macvlan on a macvlan, and an ipvlan on an ipvlan, beside it on the link below.
  const expected = parent.kind === link.kind && link.kind !== 'vlan' ? parent.peerIndex : parent.ifIndex;
  if (link.peerIndex !== expected) {
    throw checkFailure(`container interface ${link.name} does not have master ${config.master}`);
  }
}
