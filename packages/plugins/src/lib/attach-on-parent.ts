import type { PluginRequest, Result } from '@amphipod/cni';
import type { Link } from '@amphipod/netlink';
import { attachLink, type LinkSteps } from './attach-link.ts';
import type { PluginHost } from './host.ts';
import { linkInPod, type PodLinkSpec } from './link-in-pod.ts';
import { ownerOf } from './owner-of.ts';
import { checkMtu, explainParentFailure, findParent, type Parent, type ParentConfig } from './parent-link.ts';

export interface OnParentSteps extends Omit<LinkSteps, 'make' | 'wantsDad'> {
  kind: 'macvlan' | 'ipvlan' | 'vlan';
  config: ParentConfig;
  /** The MTU may not exceed the parent's. */
  limitsMtu: boolean;
  spec(parent: Link): PodLinkSpec;
}

/** ADD of a link that sits on another one. */
export async function attachOnParent(
  request: PluginRequest,
  host: PluginHost,
  steps: OnParentSteps,
): Promise<Result> {
  const { kind, config, limitsMtu, spec } = steps;
  let parent: Parent | undefined;
  try {
    return await attachLink(request, host, {
      ...steps,
      make(pod, undo) {
        parent = findParent(host, pod, config);
        if (limitsMtu) checkMtu(config.mtu, parent);
        const wanted = { ...spec(parent.link), ...(config.mtu > 0 && { mtu: config.mtu }) };
        return linkInPod(parent.rtnl, pod, wanted, { kind, owner: ownerOf(request), undo });
      },
      // Without a carrier there is nobody to ask, and the kernel would wait for one.
      wantsDad: () => parent!.link.flags.lowerUp,
    });
  } catch (error) {
    throw parent === undefined ? error : explainParentFailure(error, parent, kind);
  }
}
