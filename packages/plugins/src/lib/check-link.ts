import type { PluginRequest } from '@amphipod/cni';
import type { Link } from '@amphipod/netlink';
import { checkFailure, checkPodInterface, findPodInterface } from './check-interface.ts';
import type { PluginHost, Pod } from './host.ts';
import { ipamCall } from './ipam.ts';
import { requirePrevResult } from './prev-result.ts';

/** CHECK of a plugin that gave the pod one link; `look` has what is the plugin's own. @throws CniError plugin-specific */
export async function checkLink(
  request: PluginRequest,
  host: PluginHost,
  look: (link: Link, pod: Pod) => void,
): Promise<void> {
  await ipamCall(request, 'CHECK');
  const result = requirePrevResult(request);
  const podInterface = findPodInterface(result, request);
  using pod = host.openPod(request.netns);
  const link = checkPodInterface(pod, result, podInterface);
  if (!link.flags.up) throw checkFailure(`Interface ${link.name} is down`);
  look(link, pod);
}

/** @throws CniError plugin-specific */
export function checkKind(link: Link, kind: string): void {
  if (link.kind !== kind) throw checkFailure(`Container interface ${link.name} not of type ${kind}`);
}
