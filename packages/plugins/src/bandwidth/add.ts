import type { PluginRequest, Result } from '@amphipod/cni';
import type { UndoStack } from '@amphipod/linux';
import {
  type Link,
  qdiscAdd,
  qdiscDel,
  type Rtnl,
  readPsched,
  tcHandle,
  u32FilterAdd,
} from '@amphipod/netlink';
import type { PluginHost } from '../lib/host.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { requirePrevResult } from '../lib/prev-result.ts';
import { withUndo } from '../lib/with-undo.ts';
import { readConfig } from './config.ts';
import { findHostInterface } from './find-host-interface.ts';
import { createIfb } from './ifb.ts';
import { shape } from './shape.ts';

/** Handle of the ingress qdisc, and what the reference's filter has as flow. */
export const INGRESS = tcHandle(0xffff);
const FLOW = tcHandle(1, 1);

/** Token buckets on the host's end of the pair, for what the pod receives, and on an ifb, for what it sends. */
export async function add(request: PluginRequest, host: PluginHost): Promise<Result> {
  const { ingress, egress, shaped } = readConfig(request);
  const prevResult = requirePrevResult(request, 'must be called as chained plugin');
  if (ingress === undefined && egress === undefined) return prevResult;
  const veth = findHostInterface(request, host, prevResult);
  const psched = readPsched();
  const { rtnl } = host;
  return await withUndo(async (undo) => {
    if (ingress !== undefined) {
      shape(rtnl, undo, { link: veth, remote: 'source' }, { limit: ingress, shaped, psched });
    }
    if (egress === undefined) return prevResult;
    const ifb = createIfb(rtnl, undo, ownerOf(request), veth.mtu);
    redirect(rtnl, undo, veth, ifb);
    shape(rtnl, undo, { link: ifb, remote: 'destination' }, { limit: egress, shaped, psched });
    const { name, mac } = ifb;
    return { ...prevResult, interfaces: [...(prevResult.interfaces ?? []), { name, mac }] };
  });
}

/** What arrives from the pod leaves through the ifb, where it can wait; then it goes on as if it had just arrived. */
function redirect(rtnl: Rtnl, undo: UndoStack, { ifIndex }: Link, ifb: Link): void {
  let isMade = false;
  undo.defer(`remove ingress qdisc of link ${ifIndex}`, () => {
    if (isMade) qdiscDel(rtnl, ifIndex, 'ingress');
  });
  qdiscAdd(rtnl, { kind: 'ingress', ifIndex });
  isMade = true;
  u32FilterAdd(rtnl, {
    ifIndex,
    parent: INGRESS,
    priority: 1,
    protocol: 'all',
    classId: FLOW,
    redirectTo: ifb.ifIndex,
  });
}
