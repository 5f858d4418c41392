import { CniError } from '../errors.ts';
import type { CniCommand, PluginRequest } from '../plugin.ts';
import type { Result } from '../result.ts';

/**
 * What plugins get to call their delegates with. As in the reference a delegate gets the verb that its caller has, and
 * DEL also to clean up after itself.
 */
export function delegateOf(
  command: Exclude<CniCommand, 'VERSION'>,
  call: (type: string, command: Exclude<CniCommand, 'VERSION'>) => Promise<Result>,
): PluginRequest['delegate'] {
  return async (type, delegateCommand) => {
    if (delegateCommand === 'VERSION' || (delegateCommand !== command && delegateCommand !== 'DEL')) {
      throw new CniError('internal', `CNI_COMMAND is not ${delegateCommand}`);
    }
    return await call(type, delegateCommand);
  };
}
