import { hash } from 'node:crypto';
import { CniError } from '@amphipod/cni';
import { isCode, type UndoStack } from '@amphipod/linux';
import { type Link, linkAdd, linkDel, linkFind, linkSet, type Rtnl } from '@amphipod/netlink';
import { type Owner, ownerTag } from '../lib/owner.ts';

/**
 * The reference's name, which two interfaces of a container in one network share, then one of the interface's own.
 * Both follow from the owner, so that DEL needs no record.
 */
export function ifbNames({ network, containerID, ifName }: Owner): [string, string] {
  const name = (text: string) => `bwp${hash('sha512', text).slice(0, 12)}`;
  return [name(`${network}${containerID}`), name(`${network}${containerID}/${ifName}`)];
}

/** Makes the link on which what a pod sends waits. */
export function createIfb(rtnl: Rtnl, undo: UndoStack, owner: Owner, mtu: number): Link {
  const tag = ownerTag(owner);
  for (const name of ifbNames(owner)) {
    let made: Link | undefined;
    undo.defer(`remove link ${name}`, async () => {
      if (made !== undefined) await linkDel(rtnl, made.ifIndex);
    });
    try {
      made = linkAdd(rtnl, { kind: 'ifb', name, mtu, txQueueLength: 0, up: true });
    } catch (error) {
      if (!isCode(error, 'EEXIST')) throw error;
      if (linkFind(rtnl, name)?.alias === tag) {
        throw new CniError('internal', `adding link: ifb ${name} of this attachment is there already`, {
          cause: error,
        });
      }
      continue;
    }
    linkSet(rtnl, made.ifIndex, { alias: tag });
    return made;
  }
  throw new CniError('internal', `adding link: ${ifbNames(owner).join(' and ')} are taken by others`);
}

/** The ifb of this owner. */
export function findIfb(rtnl: Rtnl, owner: Owner): Link | undefined {
  const tag = ownerTag(owner);
  const [shared, own] = ifbNames(owner);
  const first = linkFind(rtnl, shared);
  // The reference leaves no alias.
  if (first?.kind === 'ifb' && (first.alias === undefined || first.alias === tag)) return first;
  const second = linkFind(rtnl, own);
  return second?.kind === 'ifb' && second.alias === tag ? second : undefined;
}
