import { isJsonObject, type JsonObject } from '@amphipod/cni';
import type { Tell } from './find-mistakes.ts';
import { configCheckOf } from './find-plugin-mistakes.ts';

/** Mistakes in how the plugins of a list stand together. */
export function findChainMistakes(plugins: readonly unknown[], tell: Tell): void {
  for (const [i, plugin] of plugins.entries()) {
    if (!isJsonObject(plugin)) continue;
    const { type, capabilities } = plugin;
    const check = configCheckOf(type);
    if (check === undefined) continue;
    if (i === 0 && check.isChained)
      tell(
        'error',
        'plugins[0].type',
        {
          reason: 'works on the result of another plugin',
          wanted: 'put it after one that makes an interface',
        },
        type,
      );
    const needed = check.needsCapability;
    const declared = (capabilities ?? {}) as JsonObject;
    if (needed !== undefined && declared[needed] !== true)
      tell('warning', `plugins[${i}].capabilities`, {
        reason: `without the capability ${needed} it gets nothing to do`,
        wanted: `write "capabilities": {"${needed}": true}`,
      });
  }
}
