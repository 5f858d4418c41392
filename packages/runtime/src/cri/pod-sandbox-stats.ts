import type { PodSandboxStatsRequest, PodSandboxStatsResponse } from '../gen/api.ts';
import { askForLayers } from '../stats/container-stats.ts';
import { podStats } from '../stats/pod-stats.ts';
import type { Handler } from './call.ts';
import { getSandbox } from './lookup.ts';

/** PodSandboxStats; of a stopped pod there are the attributes only. @throws CriError not-found */
export const podSandboxStats: Handler<PodSandboxStatsRequest, PodSandboxStatsResponse> = async (
  context,
  { podSandboxId },
) => {
  const sandbox = getSandbox(context, podSandboxId);
  await askForLayers(context, context.store.containersOf(sandbox.id));
  return { stats: podStats(context, sandbox) };
};
