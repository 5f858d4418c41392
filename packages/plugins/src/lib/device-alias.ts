import { isOwnTag, type Owner, ownerTag } from './owner.ts';

const SEPARATOR = ' was ';

/**
 * `cni NETWORK CONTAINER/IFNAME was HOSTNAME`: the alias of a device while a pod has it. It stays with the device wherever
 * that goes, so that a device which falls back to the host when its pod dies can be known and named again.
 */
export function deviceAlias(owner: Owner, hostName: string): string {
  return `${ownerTag(owner)}${SEPARATOR}${hostName}`;
}

/** Undefined for an alias of another kind. No name of an interface has a space in it. */
export function parseDeviceAlias(alias: string | undefined): { tag: string; hostName: string } | undefined {
  if (alias === undefined || !isOwnTag(alias)) return undefined;
  const at = alias.lastIndexOf(SEPARATOR);
  return at < 0 ? undefined : { tag: alias.slice(0, at), hostName: alias.slice(at + SEPARATOR.length) };
}
