import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Where the native launcher is once it is built. */
export const nativeLauncherPath = fileURLToPath(new URL('../../launcher/build/launcher', import.meta.url));

/** The launcher to make executables from: the native one where it could be built, else the shell script. */
export function readLauncher(): Buffer {
  if (existsSync(nativeLauncherPath)) return readFileSync(nativeLauncherPath);
  return readFileSync(new URL('../../launcher/launcher.sh', import.meta.url));
}
