import { mkdtempSync, rmSync } from 'node:fs';
import { isCode } from '@amphipod/linux';

/** A private directory on a disk (/var/tmp: overlay cannot stack on a tmpfs with whiteouts everywhere). */
export interface Scratch extends Disposable {
  readonly dir: string;
}

/** Makes a directory that goes away at the end of the scope. */
export function makeScratch(name: string): Scratch {
  const dir = mkdtempSync(`/var/tmp/amphipod-${name}-`);
  return { dir, [Symbol.dispose]: () => removeTree(dir) };
}

/** Removes a tree; what is mounted in it must be unmounted before. */
function removeTree(dir: string): void {
  try {
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
  } catch (error) {
    // A mount in another test's namespace may still hold a directory for a moment.
    if (!isCode(error, 'EBUSY', 'ENOTEMPTY')) throw error;
    process.stderr.write(`left ${dir}: ${error}\n`);
  }
}
