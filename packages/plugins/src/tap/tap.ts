import { CniError, type Plugin, specVersions } from '@amphipod/cni';
import { type Link, linkFind, linkSet } from '@amphipod/netlink';
import { attachLink } from '../lib/attach-link.ts';
import { checkFailure } from '../lib/check-interface.ts';
import { checkKind, checkLink } from '../lib/check-link.ts';
import { detachLink } from '../lib/detach-link.ts';
import type { PluginHost, Pod } from '../lib/host.ts';
import { ipamCall } from '../lib/ipam.ts';
import { makeInPod } from '../lib/link-in-pod.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { readConfig, type TapConfig } from './config.ts';
import { createTap } from './create-tap.ts';

/** Gives pods a tap device, for a virtual machine in the pod; docs/plugins/tap.md */
export const tap: Plugin<PluginHost> = {
  type: 'tap',
  about: 'CNI tap plugin of Amphipod',
  versions: specVersions,
  async add(request, host) {
    const config = readConfig(request);
    return await attachLink(request, host, {
      ipamType: config.ipamType,
      // What is behind a tap has not been started yet, so nobody could answer.
      wantsDad: () => false,
      make(pod, undo) {
        const link = makeInPod(pod, { kind: 'tap', owner: ownerOf(request), undo }, (isMade) => {
          createTap(pod, request.ifName, config);
          isMade(request.ifName);
        });
        return applySettings(pod, link, config);
      },
    });
  },
  del: detachLink,
  async check(request, host) {
    const config = readConfig(request);
    await checkLink(request, host, (link, pod) => {
      checkKind(link, 'tun');
      checkSettings(pod, link, config);
    });
  },
  async status(request) {
    readConfig(request);
    await ipamCall(request, 'STATUS');
  },
  gc: (request) => ipamCall(request, 'GC'),
};

function applySettings(pod: Pod, link: Link, { mac, mtu, bridge: name }: TapConfig): Link {
  const bridge = name === undefined ? undefined : linkFind(pod.rtnl, name);
  if (name !== undefined && bridge === undefined) {
    throw new CniError('internal', `failed to get bridge ${name}: Link not found in the container`);
  }
  if (mac !== undefined || mtu !== undefined || bridge !== undefined) {
    linkSet(pod.rtnl, link.ifIndex, {
      ...(mac !== undefined && { mac }),
      ...(mtu !== undefined && { mtu }),
      ...(bridge !== undefined && { masterIndex: bridge.ifIndex }),
    });
  }
  return { ...link, ...(mac !== undefined && { mac }) };
}

function checkSettings(pod: Pod, { name, tun, masterIndex }: Link, config: TapConfig): void {
  if (tun?.type !== 'tap') throw checkFailure(`Container interface ${name} not of type tap`);
  for (const key of ['owner', 'group'] as const) {
    const wanted = config[key];
    if (wanted !== undefined && tun[key] !== wanted) {
      throw checkFailure(`interface ${name} has ${key} ${tun[key]}, want ${wanted}`);
    }
  }
  if (tun.multiQueue !== config.multiQueue) {
    throw checkFailure(`interface ${name} has ${config.multiQueue ? 'one queue' : 'several queues'}`);
  }
  const bridge = config.bridge === undefined ? undefined : linkFind(pod.rtnl, config.bridge);
  if (config.bridge !== undefined && (bridge === undefined || masterIndex !== bridge.ifIndex)) {
    throw checkFailure(`interface ${name} is no port of bridge ${config.bridge}`);
  }
}
