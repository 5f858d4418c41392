import { closeSync, openSync } from 'node:fs';
import { CniError } from '@amphipod/cni';
import type { Datastore } from '@amphipod/fabric/client';
import { inNetns, isCode, isNamespace, type SyncFunction } from '@amphipod/linux';
import { type Nft, type NftRuleRef, openNft, openRtnl, type Rtnl } from '@amphipod/netlink';
import { createDatastores, type DatastoreSettings, type Datastores, openDatastore } from './datastores.ts';

/** A pod's network namespace, open for one request. */
export interface Pod extends Disposable {
  readonly netnsFd: number;
  /** A connection there, opened at the first use or in the first {@link run}. */
  readonly rtnl: Rtnl;
  /** Runs `fn` with the thread in the namespace: for /proc/sys. */
  run<T>(fn: SyncFunction<T>): T;
}

/** What the plugins work on: the namespace that they run in, and the way into pods. */
export interface PluginHost {
  /** Those of networks of many nodes; a process that is to end disposes of them. */
  readonly datastores: Datastores;
  /** Opened at the first use and kept. */
  readonly rtnl: Rtnl;
  readonly nft: Nft;
  /** @throws CniError internal `failed to open netns "…"` */
  openPod(netns: string): Pod;
  readonly memory: HostMemory;
}

/** What is known from earlier calls, to save questions. It must never be needed: an executable starts without it. */
export interface HostMemory {
  /** Gateways that are known to be on a bridge without another address in their way: by interface index. */
  readonly gateways: Map<number, Set<string>>;
  /** firewall: where its rules are, by owner tag or by what a shared rule says. */
  readonly firewallRules: Map<string, readonly NftRuleRef[]>;
}

/** Opens connections; tests hand in ones that fail. */
export interface Openers {
  openRtnl(): Rtnl;
  openNft(): Nft;
  openDatastore(settings: DatastoreSettings): Promise<Datastore>;
}

/** The namespace that the thread is in now. */
export function openPluginHost(some: Partial<Openers> = {}): PluginHost {
  const openers: Openers = { openRtnl, openNft, openDatastore, ...some };
  let rtnl: Rtnl | undefined;
  let nft: Nft | undefined;
  return {
    get rtnl() {
      rtnl ??= openers.openRtnl();
      return rtnl;
    },
    get nft() {
      nft ??= openers.openNft();
      return nft;
    },
    openPod: (netns) => openPod(netns, openers),
    datastores: createDatastores(openers.openDatastore),
    memory: { gateways: new Map(), firewallRules: new Map() },
  };
}

function openPod(netns: string, openers: Openers): Pod {
  const netnsFd = openNetns(netns);
  let rtnl: Rtnl | undefined;
  const run = <T>(fn: SyncFunction<T>): T =>
    inNetns<T>(netnsFd, (() => {
      rtnl ??= openers.openRtnl();
      return fn();
    }) as SyncFunction<T>);
  return {
    netnsFd,
    get rtnl() {
      if (rtnl === undefined) run<void>(() => {});
      return rtnl!;
    },
    run,
    [Symbol.dispose]() {
      rtnl?.close();
      closeSync(netnsFd);
    },
  };
}

function openNetns(netns: string): number {
  try {
    return openSync(netns, 'r');
  } catch (cause) {
    throw new CniError(
      'internal',
      `failed to open netns ${JSON.stringify(netns)}: ${(cause as Error).message}`,
      { cause },
    );
  }
}

/** A pod's namespace when it is there; undefined for an empty path, a missing one, and one that is no namespace any more. */
export function openPodIfThere(host: PluginHost, netns: string): Pod | undefined {
  if (netns === '' || !isNamespace(netns)) return undefined;
  try {
    return host.openPod(netns);
  } catch (error) {
    // Gone between the two looks.
    if (isCode((error as Error).cause, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}
