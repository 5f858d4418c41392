import { hash } from 'node:crypto';

/** Whom a kernel object belongs to. */
export interface Owner {
  network: string;
  containerID: string;
  ifName: string;
}

/** nft keeps 128 bytes of a comment, the kernel 255 of an alias. */
const OWNER_BYTES = 120;
const PREFIX = 'cni';

/**
 * `cni NETWORK CONTAINER/IFNAME`: the alias of a host interface, the comment of a set element. What is too long
 * keeps its start and ends in a hash, so that it can be compared but no longer read.
 */
export function ownerTag({ network, containerID, ifName }: Owner): string {
  const text = `${networkTag(network)}${containerID}/${ifName}`;
  if (Buffer.byteLength(text) <= OWNER_BYTES) return text;
  const digest = hash('sha256', text).slice(0, 32);
  return `${text.slice(0, OWNER_BYTES - digest.length - 1)}#${digest}`;
}

/** What the tags of a network's attachments begin with. */
function networkTag(network: string): string {
  return `${PREFIX} ${network} `;
}

/** True for a tag that belongs to the network and to none of these attachments. */
export function isStaleTag(
  tag: string | undefined,
  network: string,
  valid: readonly { containerID: string; ifName: string }[],
): boolean {
  if (tag === undefined || !tag.startsWith(networkTag(network))) return false;
  return !valid.some((attachment) => ownerTag({ network, ...attachment }) === tag);
}

/** True for any tag of this project's. */
export function isOwnTag(tag: string | undefined): boolean {
  return tag?.startsWith(`${PREFIX} `) ?? false;
}
