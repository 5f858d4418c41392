import { statSync } from 'node:fs';
import { encodeResult } from '../encode-result.ts';
import { CniError } from '../errors.ts';
import type { BoundPlugin, CniCommand, PluginRequest } from '../plugin.ts';
import type { Result } from '../result.ts';

/** True when CNI_NETNS_OVERRIDE lets plugins work on the network namespace that they run in. */
export function allowsOwnNetns(env: Record<string, string | undefined>): boolean {
  return ['TRUE', '1'].includes((env.CNI_NETNS_OVERRIDE ?? '').toUpperCase());
}

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

/** What was made goes when its result cannot be said in the configuration's version. */
export async function encodeOrUndo(
  plugin: BoundPlugin,
  request: PluginRequest,
  result: Result,
): Promise<object> {
  try {
    return encodeResult(result, request.config.cniVersion);
  } catch (error) {
    await plugin.call('DEL', request);
    throw error;
  }
}

/** Tells whether a path leads to the network namespace of this process, which never leaves it for longer than a call. */
export function ownNetnsTest(): (netns: string) => boolean {
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
