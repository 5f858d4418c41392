import { pluginFailure } from './call-plugin.ts';
import type { CallOptions, CniContext } from './context.ts';
import { throwAll } from './del-list.ts';
import { CniError, toCniError } from './errors.ts';
import { isJsonObject } from './json.ts';
import type { NetworkConfigList } from './network-config.ts';
import { withTimeLimit } from './with-time-limit.ts';

/** See {@link Cni.validateList}. */
export async function validateList(
  context: CniContext,
  list: NetworkConfigList,
  { signal }: CallOptions = {},
): Promise<string[]> {
  const capabilities = new Set<string>();
  const failures: unknown[] = [];
  for (const { type, capabilities: declared } of list.plugins) {
    try {
      await validatePlugin(context, type, { version: list.cniVersion, signal });
    } catch (error) {
      failures.push(error);
    }
    for (const [name, isOn] of Object.entries(isJsonObject(declared) ? declared : {})) {
      if (isOn === true) capabilities.add(name);
    }
  }
  signal?.throwIfAborted();
  throwAll(failures);
  return [...capabilities];
}

async function validatePlugin(
  context: CniContext,
  type: string,
  { version, signal }: CallOptions & { version: string },
): Promise<void> {
  const versions = await pluginVersions(context, type, { signal });
  if (versions.includes(version)) return;
  throw new CniError(
    'incompatible-version',
    `plugin ${type} does not support config version ${JSON.stringify(version)}`,
    { plugin: type },
  );
}

/** See {@link Cni.pluginVersions}. */
export async function pluginVersions(
  context: CniContext,
  type: string,
  { signal }: CallOptions = {},
): Promise<string[]> {
  const { timeoutMs } = context;
  try {
    return await withTimeLimit((limited) => context.invoker.versions(type, limited), { timeoutMs, signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw pluginFailure(type, 'VERSION', toCniError(error));
  }
}
