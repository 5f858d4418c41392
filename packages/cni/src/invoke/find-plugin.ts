import { statSync } from 'node:fs';
import { join } from 'node:path';
import { CniError } from '../errors.ts';
import { validatePluginType } from '../names.ts';

/** The first regular file of this name in `pluginDirs`. @throws CniError plugin-not-found, invalid-network-config */
export function findPlugin(type: string, pluginDirs: readonly string[]): string {
  validatePluginType(type);
  for (const dir of pluginDirs) {
    const path = join(dir, type);
    if (dir !== '' && statSync(path, { throwIfNoEntry: false })?.isFile()) return path;
  }
  throw new CniError(
    'plugin-not-found',
    `failed to find plugin ${JSON.stringify(type)} in path [${pluginDirs.join(' ')}]`,
    { plugin: type },
  );
}
