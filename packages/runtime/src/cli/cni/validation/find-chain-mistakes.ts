import type { JsonObject } from '@amphipod/cni';
import { configChecks } from '@amphipod/plugins';
import type { Tell } from './find-mistakes.ts';

/** Mistakes in how the plugins of a list stand together. */
export function findChainMistakes(plugins: readonly JsonObject[], tell: Tell): void {
  for (const [i, { type, capabilities }] of plugins.entries()) {
    const check =
      typeof type === 'string' && Object.hasOwn(configChecks, type) ? configChecks[type]! : undefined;
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
