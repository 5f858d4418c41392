/**
 * A member's path as a clean relative one: no leading slash, no empty parts, no "." and "..". Empty for the root itself.
 * Undefined when ".." leads out of the root.
 */
export function cleanPath(path: string): string | undefined {
  // Nearly all paths are clean already.
  if (!/(?:^|\/)(?:\.{0,2})(?:\/|$)/.test(path)) return path;
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) return undefined;
  }
  return parts.join('/');
}

/** As {@link cleanPath}, with ".." at the root staying there, as in a chroot. */
export function clampPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts.join('/');
}

/** Parent and last part of a clean path. */
export function splitPath(path: string): [parent: string, name: string] {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? ['', path] : [path.slice(0, slash), path.slice(slash + 1)];
}

export function joinPath(parent: string, name: string): string {
  return parent === '' ? name : `${parent}/${name}`;
}
