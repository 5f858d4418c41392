import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { PluginFile } from '@amphipod/cni';
import { readIdentity, writeIdentity } from './identity.ts';
import type { Installation } from './installation.ts';

/** Files that a runtime may have in its plugin directories; so many answers are kept. */
const MAX_KNOWN = 1000;
const MAX_EXECUTABLE_BYTES = 4 << 20;

/** Tells whether a file is this installation's executable of a plugin. */
export interface OwnExecutables {
  has(type: string, file: PluginFile): boolean;
}

/**
 * A file is ours when it is the very file in our directory as it was when this began (an upgrade that replaced it since
 * is another version), or when its content is byte for byte what would be installed for that plugin by this version from
 * this place. The content is read once; then device, inode, times and size stand for it.
 */
export function createOwnExecutables(installation: Installation, types: Iterable<string>): OwnExecutables {
  const own = new Map<string, { dev: number; ino: number; bytes: Buffer }>();
  for (const type of types) {
    const path = join(installation.binDir, type);
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats !== undefined) own.set(type, { dev: stats.dev, ino: stats.ino, bytes: readFileSync(path) });
  }
  const known = new Map<string, boolean>();
  return {
    has(type, file) {
      const original = own.get(type);
      if (original === undefined) return false;
      if (original.dev === file.dev && original.ino === file.ino) return true;
      const stats = statSync(file.path, { bigint: true, throwIfNoEntry: false });
      if (stats === undefined || stats.size > MAX_EXECUTABLE_BYTES) return false;
      const { dev, ino, size, mtimeNs, ctimeNs, mode } = stats;
      const key = [type, dev, ino, size, mtimeNs, ctimeNs, mode].join();
      let isOwn = known.get(key);
      if (isOwn === undefined) {
        isOwn = (mode & 0o111n) !== 0n && isCopy(file.path, original.bytes, { type, installation });
        if (known.size >= MAX_KNOWN) known.clear();
        known.set(key, isOwn);
      }
      return isOwn;
    },
  };
}

function isCopy(
  path: string,
  original: Buffer,
  { type, installation }: { type: string; installation: Installation },
): boolean {
  const bytes = readFileSync(path);
  const identity = readIdentity(bytes);
  if (identity === undefined) return false;
  const { root, version } = installation;
  return bytes.equals(writeIdentity(original, { name: type, version, root, socket: identity.socket }));
}
