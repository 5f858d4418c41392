import { closeSync, openSync } from 'node:fs';
import { CniError, type PluginRequest } from '@amphipod/cni';
import { isCode, type UndoStack } from '@amphipod/linux';
import { type Link, linkFind, linkGet, linkSet, type Rtnl } from '@amphipod/netlink';
import { deviceAlias, parseDeviceAlias } from '../lib/device-alias.ts';
import type { PluginHost, Pod } from '../lib/host.ts';
import { refuseIfTaken } from '../lib/link-in-pod.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { renameLink } from '../lib/rename-link.ts';
import { restoreHostState, saveHostState } from './host-state.ts';

/** Moves a device into the pod under the pod's name for it; undoing brings it back as it was. */
export function moveIn(
  { request, host, pod }: { request: PluginRequest; host: PluginHost; pod: Pod },
  device: Link,
  undo: UndoStack,
): Link {
  const { ifName } = request;
  refuseIfTaken(pod, ifName);
  // One that fell back from a dead pod still has that pod's name for it.
  const alias = deviceAlias(ownerOf(request), parseDeviceAlias(device.alias)?.hostName ?? device.name);
  const state = saveHostState(host.rtnl, device);
  undo.defer(`bring back ${device.name}`, () => {
    const there = [ifName, device.name].map((name) => linkFind(pod.rtnl, name));
    const moved = there.find((link) => link?.alias === alias);
    if (moved === undefined) {
      linkSet(host.rtnl, device.ifIndex, { alias: device.alias ?? '' });
      return;
    }
    moveOut(pod, moved, device.name);
    restoreHostState(host.rtnl, linkGet(host.rtnl, device.name).ifIndex, state);
  });
  // Before the move, so that whoever finds the device after a crash knows it.
  linkSet(host.rtnl, device.ifIndex, { alias });
  try {
    linkSet(host.rtnl, device.ifIndex, { netnsFd: pod.netnsFd, name: ifName });
  } catch (cause) {
    throw new CniError('internal', `failed to move link ${device.name}: ${(cause as Error).message}`, {
      cause,
    });
  }
  return linkGet(pod.rtnl, ifName);
}

/** Moves a device from the pod to the host, down, where it is called `hostName` from the start: udev sees no other name. */
export function moveOut(pod: Pod, { ifIndex, flags, name }: Link, hostName: string): void {
  if (flags.up) linkSet(pod.rtnl, ifIndex, { up: false });
  try {
    linkSet(pod.rtnl, ifIndex, { name: hostName });
  } catch (error) {
    // The pod has another interface of that name; then it is named on arrival.
    if (!isCode(error, 'EEXIST')) throw error;
  }
  // The host is the namespace that this thread lives in.
  const hostFd = openSync('/proc/thread-self/ns/net', 'r');
  try {
    linkSet(pod.rtnl, ifIndex, { netnsFd: hostFd, name: hostName, alias: '' });
  } catch (error) {
    // So that the next DEL finds it.
    if (linkFind(pod.rtnl, hostName)?.ifIndex === ifIndex) linkSet(pod.rtnl, ifIndex, { name });
    throw renameFailure(error, name, hostName);
  } finally {
    closeSync(hostFd);
  }
}

/** Gives a device that is on the host again its own name, and takes our alias off it. */
export function renameStray(rtnl: Rtnl, { ifIndex, flags, name }: Link, hostName: string): void {
  if (name !== hostName && flags.up) linkSet(rtnl, ifIndex, { up: false });
  try {
    if (name !== hostName) renameLink(rtnl, ifIndex, hostName);
    linkSet(rtnl, ifIndex, { alias: '' });
  } catch (error) {
    throw renameFailure(error, name, hostName);
  }
}

function renameFailure(error: unknown, name: string, hostName: string): unknown {
  if (!isCode(error, 'EEXIST')) return error;
  return new CniError(
    'internal',
    `failed to rename device "${name}" to "${hostName}": the host has another of that name`,
    {
      cause: error,
    },
  );
}
