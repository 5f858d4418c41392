import type { PluginRequest, Result } from '@amphipod/cni';
import type { PluginHost } from '../lib/host.ts';
import { lockNetns } from '../lib/lock-netns.ts';
import { ownerTag } from '../lib/owner.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { withUndo } from '../lib/with-undo.ts';
import { requireResult } from './check.ts';
import { readConfig } from './config.ts';
import { ensureVrf } from './ensure-vrf.ts';
import { joinVrf } from './join.ts';

/** Joins the pod's interface to a VRF of the pod, which is made when it is not there. */
export async function add(request: PluginRequest, host: PluginHost): Promise<Result> {
  const config = readConfig(request);
  const prevResult = requireResult(request);
  using pod = host.openPod(request.netns);
  return await withUndo(async (undo) => {
    // Another interface of the pod may be looking for a table, too.
    using _lock = await lockNetns(request.netns, request.signal);
    const vrf = ensureVrf(pod.rtnl, undo, config, ownerTag(ownerOf(request)));
    await joinVrf(pod.rtnl, undo, request.ifName, vrf);
    return prevResult;
  });
}
