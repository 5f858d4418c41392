import { CniError, type PluginRequest } from '@amphipod/cni';
import type { VfSettings } from '@amphipod/netlink';
import { checkFailure } from '../lib/check-interface.ts';
import { checkLink } from '../lib/check-link.ts';
import type { PluginHost } from '../lib/host.ts';
import { ipamCall } from '../lib/ipam.ts';
import { ownerTag } from '../lib/owner.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { requirePrevResult } from '../lib/prev-result.ts';
import { isSameOwner } from './call.ts';
import { readConfig } from './config.ts';
import type { Places } from './places.ts';
import { listRecords } from './records.ts';
import { describeSetting, differences, wantedSettings } from './settings.ts';
import { findVirtualFunction, readVf } from './virtual-function.ts';

/** Reads everything back: whose the function is, its settings, the interface in the pod. @throws CniError plugin-specific */
export async function check(request: PluginRequest, host: PluginHost, places: Places): Promise<void> {
  const config = readConfig(request);
  const owner = ownerOf(request);
  const record = listRecords(places).find((each) => isSameOwner(each.owner, owner));
  if (record === undefined) throw checkFailure(`no virtual function is with "${ownerTag(owner)}"`);
  const { address } = record;
  if (config.deviceId !== undefined && config.deviceId !== address) {
    throw checkFailure(`"${ownerTag(owner)}" has ${address}, and not ${config.deviceId}`);
  }
  const vf = findVirtualFunction(host.rtnl, address, places);
  const current = readVf(host.rtnl, vf);
  const wrong = differences(wantedSettings(config), current);
  for (const key of Object.keys(wrong) as (keyof VfSettings)[]) {
    throw checkFailure(
      `vf ${vf.index} of ${vf.pfName} has ${describeSetting(key, current)}, want ${describeSetting(key, wrong)}`,
    );
  }
  if (!vf.isDpdk) return await checkLink(request, host, () => {});
  await ipamCall(request, 'CHECK');
  requirePrevResult(request);
}

/** @throws CniError plugin-not-available when the device that the configuration names is not there */
export async function status(request: PluginRequest, host: PluginHost, places: Places): Promise<void> {
  const { deviceId } = readConfig(request);
  if (deviceId !== undefined) {
    try {
      findVirtualFunction(host.rtnl, deviceId, places);
    } catch (cause) {
      throw cause instanceof CniError ? new CniError('plugin-not-available', cause.msg, { cause }) : cause;
    }
  }
  await ipamCall(request, 'STATUS');
}
