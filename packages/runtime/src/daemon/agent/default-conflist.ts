import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFile } from '@amphipod/linux';
import type { Networks } from '../../pods/networks.ts';

const conflist = {
  cniVersion: '1.1.0',
  name: 'cbr0',
  plugins: [
    // Where the node gets another subnet the bridge follows.
    { type: 'flannel', delegate: { hairpinMode: true, isDefaultGateway: true, forceAddress: true } },
    { type: 'portmap', capabilities: { portMappings: true } },
  ],
};

/**
 * Writes a network configuration that puts pods into the overlay, where there is none at all, under the name that flannel's own
 * installation uses.
 * @returns the file, when it was written
 */
export function ensureConflist(
  dir: string,
  networks: Pick<Networks, 'default' | 'errors'>,
): string | undefined {
  if (networks.default !== undefined || networks.errors.length > 0) return undefined;
  mkdirSync(dir, { recursive: true });
  const file = join(dir, '10-flannel.conflist');
  replaceFile(file, `${JSON.stringify(conflist, null, 2)}\n`);
  return file;
}
