import { decodeDns, type Plugin, type PluginRequest, type Result, specVersions } from '@amphipod/cni';
import { attachLink } from '../lib/attach-link.ts';
import { checkLink } from '../lib/check-link.ts';
import type { PluginHost } from '../lib/host.ts';
import { ipamAdd, ipamCall } from '../lib/ipam.ts';
import { requirePrevResult } from '../lib/prev-result.ts';
import { withUndo } from '../lib/with-undo.ts';
import { readConfig } from './config.ts';
import { del, gc } from './del.ts';
import { findDevice } from './find-device.ts';
import { moveIn } from './move.ts';

/** Gives a pod a network device of the host; docs/plugins/host-device.md */
export const hostDevice: Plugin<PluginHost> = {
  type: 'host-device',
  about: 'CNI host-device plugin of Amphipod',
  versions: specVersions,
  async add(request, host) {
    const config = readConfig(request);
    const { ipamType, isDpdk } = config;
    if (isDpdk) return await addDpdk(request, host, ipamType);
    return await attachLink(request, host, {
      ipamType,
      // Without IPAM the reference's result has no `dns` at all.
      keepsIpamDns: ipamType === undefined,
      wantsDad: () => true,
      make: (pod, undo) => moveIn({ request, host, pod }, findDevice(host.rtnl, config), undo),
    });
  },
  del,
  async check(request, host) {
    if (!readConfig(request).isDpdk) return await checkLink(request, host, () => {});
    await ipamCall(request, 'CHECK');
    requirePrevResult(request);
  },
  // The device is no part of this: that a pod has it is why it is missing, and no fault of the node.
  status: (request) => ipamCall(request, 'STATUS'),
  gc,
};

/** The program in the pod drives the device by itself: there are addresses to be told, and no link. */
async function addDpdk(
  request: PluginRequest,
  host: PluginHost,
  ipamType: string | undefined,
): Promise<Result> {
  host.openPod(request.netns)[Symbol.dispose]();
  const dns = decodeDns(request.config.dns);
  const interfaces = [{ name: request.ifName, sandbox: request.netns }];
  if (ipamType === undefined) return { interfaces };
  return await withUndo(async (undo) => {
    const { ips = [], routes } = await ipamAdd(request, ipamType, undo);
    return {
      interfaces,
      ips: ips.map((ip) => ({ ...ip, interface: 0 })),
      ...(routes !== undefined && { routes }),
      ...(dns !== undefined && { dns }),
    };
  });
}
