import { statSync } from 'node:fs';
import { encodeResult } from '../encode-result.ts';
import { CniError, toCniError } from '../errors.ts';
import type { BoundPlugin, CniCommand, PluginRequest } from '../plugin.ts';
import type { Result } from '../result.ts';

/**
 * Calls a plugin of this process, unless it would work on the very network namespace it runs in, taking the host's
 * interfaces for the container's. A DEL then still takes away what is outside of the container before it fails.
 * @throws CniError invalid-netns; the plugin's
 */
export async function callBound(
  plugin: BoundPlugin,
  command: Exclude<CniCommand, 'VERSION'>,
  { request, isOwnNetns }: { request: PluginRequest; isOwnNetns: (netns: string) => boolean },
): Promise<Result> {
  const isChange = command === 'ADD' || command === 'DEL';
  if (!isChange || !isOwnNetns(request.netns)) return await plugin.call(command, request);
  if (command === 'DEL') await plugin.call(command, { ...request, netns: '' });
  throw new CniError('invalid-netns', "plugin's netns and netns from CNI_NETNS should not be the same");
}

/**
 * What was made goes when its result cannot be said in the configuration's version; the error's details tell when it could not.
 * @throws CniError as encodeResult
 */
export async function encodeOrUndo(
  plugin: BoundPlugin,
  request: PluginRequest,
  result: Result,
): Promise<object> {
  try {
    return encodeResult(result, request.config.cniVersion);
  } catch (error) {
    try {
      await plugin.call('DEL', request);
    } catch (undoError) {
      const { number, msg } = toCniError(error);
      const details = `not undone: ${toCniError(undoError).message}`;
      throw new CniError(number, msg, { details, cause: error });
    }
    throw error;
  }
}

/**
 * Tells whether a path leads to the network namespace of this process, which never leaves it for longer than a call, and
 * which plugins are not to work on: none does where CNI_NETNS_OVERRIDE allows it.
 */
export function ownNetnsTest(env: Record<string, string | undefined>): (netns: string) => boolean {
  if (['TRUE', '1'].includes((env.CNI_NETNS_OVERRIDE ?? '').toUpperCase())) return () => false;
  let own: { dev: number; ino: number } | undefined;
  return (netns) => {
    if (netns === '') return false;
    try {
      own ??= statSync('/proc/self/ns/net');
      const theirs = statSync(netns, { throwIfNoEntry: false });
      return theirs !== undefined && theirs.dev === own.dev && theirs.ino === own.ino;
    } catch {
      // What is wrong with the path is for the plugin to say.
      return false;
    }
  };
}
