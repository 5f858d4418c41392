import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Installation } from './installation.ts';

/** Where the native launcher is once it is built. */
export function nativeLauncherPath({ root }: Installation): string {
  return join(root, 'packages/plugins/launcher/build/launcher');
}

/** The launcher to make executables from: the native one where it could be built, else the shell script. */
export function readLauncher(installation: Installation): Buffer {
  const native = nativeLauncherPath(installation);
  if (existsSync(native)) return readFileSync(native);
  return readFileSync(join(installation.root, 'packages/plugins/launcher/launcher.sh'));
}
