import { accessSync, constants } from 'node:fs';
import { dirname } from 'node:path';
import { CniError, type PluginRequest } from '@amphipod/cni';
import { isCode } from '@amphipod/linux';
import { requireAllowed } from './allowlist.ts';
import { readConfig } from './config.ts';
import { sysctlFiles } from './sysctls.ts';

/** Says what would keep ADD from working: keys, the allowlist, a directory that cannot be written to. */
export async function status(request: PluginRequest): Promise<void> {
  const { sysctls, link, dataDir } = readConfig(request);
  requireAllowed(sysctls);
  sysctlFiles(sysctls, 'eth0');
  if (Object.keys(link).length > 0) requireWritable(dataDir);
}

/** The directory, or the nearest one above that is there. @throws CniError plugin-not-available */
function requireWritable(dir: string): void {
  try {
    accessSync(dir, constants.W_OK | constants.X_OK);
  } catch (cause) {
    if (isCode(cause, 'ENOENT') && dirname(dir) !== dir) {
      requireWritable(dirname(dir));
      return;
    }
    const message = `directory ${JSON.stringify(dir)} for the settings from before: ${(cause as Error).message}`;
    throw new CniError('plugin-not-available', message, { key: 'dataDir', cause });
  }
}
