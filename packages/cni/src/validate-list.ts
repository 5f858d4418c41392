import type { CallOptions, CniContext } from './cni.ts';
import { CniError } from './errors.ts';
import { isJsonObject } from './json.ts';
import type { NetworkConfigList } from './network-config.ts';

/** See {@link Cni.validateList}. */
export async function validateList(
  context: CniContext,
  list: NetworkConfigList,
  { signal }: CallOptions = {},
): Promise<string[]> {
  const capabilities = new Set<string>();
  for (const { type, capabilities: declared } of list.plugins) {
    const versions = await pluginVersions(context, type, { signal });
    if (!versions.includes(list.cniVersion)) {
      throw new CniError(
        'incompatible-version',
        `plugin ${type} does not support config version ${JSON.stringify(list.cniVersion)}`,
        { plugin: type },
      );
    }
    for (const [name, isOn] of Object.entries(isJsonObject(declared) ? declared : {})) {
      if (isOn === true) capabilities.add(name);
    }
  }
  return [...capabilities];
}

/** See {@link Cni.pluginVersions}. */
export async function pluginVersions(
  context: CniContext,
  type: string,
  { signal }: CallOptions = {},
): Promise<string[]> {
  const timeout = AbortSignal.timeout(context.timeoutMs);
  return await context.invoker.versions(
    type,
    signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
  );
}
