import { statSync } from 'node:fs';
import { join } from 'node:path';
import { CniError } from '../errors.ts';
import { validatePluginType } from '../names.ts';

/** A plugin's file; links are followed for its identity. */
export interface PluginFile {
  path: string;
  dev: number;
  ino: number;
}

/** The first regular file of this name in `pluginDirs`. @throws CniError plugin-not-found, invalid-network-config */
export function findPlugin(type: string, pluginDirs: readonly string[]): PluginFile {
  validatePluginType(type);
  for (const dir of pluginDirs) {
    const path = join(dir, type);
    const stats = dir === '' ? undefined : statSync(path, { throwIfNoEntry: false });
    if (stats?.isFile()) return { path, dev: stats.dev, ino: stats.ino };
  }
  throw new CniError(
    'plugin-not-found',
    `failed to find plugin ${JSON.stringify(type)} in path [${pluginDirs.join(' ')}]`,
    { plugin: type },
  );
}
