import { CniError } from '../errors.ts';
import type { CniCommand } from '../plugin.ts';
import { firstVersionWith, isAtLeast } from '../versions.ts';

/**
 * The checks of the reference's plugin skeleton, in its order: does the configuration's version have the verb, does the
 * plugin have it, does the plugin speak the version. @throws CniError incompatible-version
 */
export function checkVersions(
  { versions }: { versions: readonly string[] },
  command: CniCommand,
  configVersion: string,
): void {
  if (command === 'CHECK' || command === 'STATUS' || command === 'GC') {
    const first = firstVersionWith[command];
    if (!isAtLeast(configVersion, first)) {
      throw new CniError('incompatible-version', `config version does not allow ${command}`);
    }
    if (!versions.some((version) => isAtLeast(version, configVersion))) {
      throw new CniError('incompatible-version', `plugin version does not allow ${command}`);
    }
  }
  if (!versions.includes(configVersion)) {
    throw new CniError('incompatible-version', 'incompatible CNI versions', {
      details: `config is ${JSON.stringify(configVersion)}, plugin supports [${versions.map((version) => JSON.stringify(version)).join(' ')}]`,
    });
  }
}
