import { randomBytes } from 'node:crypto';
import { CniError } from '@amphipod/cni';
import { isCode, type UndoStack } from '@amphipod/linux';
import {
  type Link,
  type LinkSpec,
  linkAddIn,
  linkDel,
  linkFind,
  linkGet,
  linkSet,
  type Rtnl,
} from '@amphipod/netlink';
import type { Pod } from './host.ts';
import { type Owner, ownerTag } from './owner.ts';

/** Omits the keys from each member of a union. */
type OmitEach<Union, Keys extends string> = Union extends unknown ? Omit<Union, Keys> : never;

/** A link for the pod, without what is the same for all: its name is the owner's. */
export type PodLinkSpec = OmitEach<LinkSpec, 'name' | 'netnsFd'>;

export interface PodLinkOptions {
  /** As it stands in errors: `macvlan`. */
  kind: string;
  owner: Owner;
  undo: UndoStack;
}

/**
 * Makes a link straight in the pod's namespace, in one message, under its own name and with the owner's tag as alias.
 * @param rtnl where its parent is looked for
 * @throws CniError when the pod has an interface of that name
 */
export function linkInPod(rtnl: Rtnl, pod: Pod, spec: PodLinkSpec, options: PodLinkOptions): Link {
  const { ifName } = options.owner;
  const add = (name: string) =>
    linkAddIn(rtnl, { ...spec, name, netnsFd: pod.netnsFd } as LinkSpec & { netnsFd: number });
  return makeInPod(pod, options, (isMade) => {
    try {
      add(ifName);
      isMade(ifName);
    } catch (error) {
      if (!isCode(error, 'EEXIST')) throw error;
      refuseIfTaken(pod, ifName);
      if (linkFind(rtnl, ifName) === undefined) throw error;
      // Kernels before 6.14 look for the name in the namespace that asks too, and most hosts have an "eth0".
      const temporary = `tmp${randomBytes(4).toString('hex')}`;
      add(temporary);
      isMade(temporary);
      linkSet(pod.rtnl, linkGet(pod.rtnl, temporary).ifIndex, { name: ifName });
      isMade(ifName);
    }
  });
}

/** {@link linkInPod} for links that are made in another way. `make` tells each name that the link has. */
export function makeInPod(
  pod: Pod,
  { kind, owner, undo }: PodLinkOptions,
  make: (isMade: (name: string) => void) => void,
): Link {
  let madeName: string | undefined;
  undo.defer(`remove ${kind} ${owner.ifName}`, async () => {
    if (madeName !== undefined) await linkDel(pod.rtnl, madeName);
  });
  make((name) => {
    madeName = name;
  });
  const link = linkGet(pod.rtnl, owner.ifName);
  linkSet(pod.rtnl, link.ifIndex, { alias: ownerTag(owner) });
  return link;
}

/** @throws CniError when the pod has an interface of that name */
export function refuseIfTaken(pod: Pod, ifName: string): void {
  if (linkFind(pod.rtnl, ifName) === undefined) return;
  throw new CniError('internal', `container interface name (${JSON.stringify(ifName)}) already exists`);
}
