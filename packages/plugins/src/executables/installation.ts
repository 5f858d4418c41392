import { readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where this package's executables are: a directory for CNI_PATH. */
export const pluginBinDir = fileURLToPath(new URL('../../bin', import.meta.url));

/** Where launchers look for the plugin server. */
export const defaultPluginSocket = '/run/amphipod/cni.sock';

/** This package as it is installed. An executable and a server work together only when they agree on it. */
export interface Installation {
  /** Real path of the directory that has `packages/` in it. */
  root: string;
  version: string;
  binDir: string;
}

export function ownInstallation(): Installation {
  const root = realpathSync(fileURLToPath(new URL('../../../..', import.meta.url)));
  const { version } = JSON.parse(readFileSync(join(root, 'packages/plugins/package.json'), 'utf8')) as {
    version: string;
  };
  return { root, version, binDir: pluginBinDir };
}
