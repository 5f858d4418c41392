import { CniError } from '../errors.ts';
import type { CniCommand, NetConf, PluginRequest } from '../plugin.ts';
import type { Result } from '../result.ts';

/**
 * What plugins get to call their delegates with. As in the reference a delegate gets the verb that its caller has, and
 * DEL also to clean up after itself.
 * @param callers types of the plugin that delegates and of those that delegated to it
 */
export function delegateOf(
  { command, callers }: { command: Exclude<CniCommand, 'VERSION'>; callers: readonly string[] },
  call: (
    type: string,
    command: Exclude<CniCommand, 'VERSION'>,
    /** Of the delegate, where it is not the caller's. */
    config: NetConf | undefined,
  ) => Promise<Result>,
): PluginRequest['delegate'] {
  return async (type, delegateCommand, config) => {
    if (callers.includes(type)) {
      const msg = `plugin ${JSON.stringify(type)} is its own delegate`;
      throw new CniError('invalid-network-config', msg, { plugin: type });
    }
    if (delegateCommand === 'VERSION' || (delegateCommand !== command && delegateCommand !== 'DEL')) {
      throw new CniError('internal', `CNI_COMMAND is not ${delegateCommand}`);
    }
    return await call(type, delegateCommand, config);
  };
}
