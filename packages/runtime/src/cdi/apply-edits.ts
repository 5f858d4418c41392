import { statSync } from 'node:fs';
import { deviceNode } from '../containers/devices.ts';
import { CriError } from '../errors.ts';
import type { OciDevice, OciHook, OciHookName, OciMount, OciSpec } from '../oci/spec.ts';
import type { CdiDeviceNode, ContainerEdits } from './spec.ts';

/** The mounts among the edits; they take their place among the other volumes. */
export function cdiMounts(edits: readonly ContainerEdits[]): OciMount[] {
  return edits.flatMap(({ mounts = [] }) =>
    mounts.map(({ hostPath, containerPath, options = [], type = 'bind' }) => ({
      destination: containerPath,
      source: hostPath,
      type,
      options,
    })),
  );
}

/** Applies everything but the mounts to the container's configuration, in place. @throws CriError failed-precondition */
export function applyCdiEdits(spec: OciSpec, edits: readonly ContainerEdits[]): void {
  for (const { env = [], deviceNodes = [], hooks = [], additionalGids = [], intelRdt } of edits) {
    for (const entry of env) setEnv(spec.process.env, entry);
    for (const node of deviceNodes) addDevice(spec, node);
    for (const { hookName, path, args, env: hookEnv, timeout } of hooks) {
      const name = hookName as OciHookName;
      const hook: OciHook = { path, ...(args && { args }), ...(hookEnv && { env: hookEnv }) };
      if (timeout !== undefined) hook.timeout = timeout;
      spec.hooks = { ...spec.hooks, [name]: [...(spec.hooks?.[name] ?? []), hook] };
    }
    if (additionalGids.length > 0) {
      const { user } = spec.process;
      // 0 would give the container root's group by mistake (SPEC.md).
      const wanted = additionalGids.filter((gid) => gid > 0);
      user.additionalGids = [...new Set([...(user.additionalGids ?? []), ...wanted])];
    }
    if (intelRdt !== undefined) spec.linux.intelRdt = intelRdt;
  }
}

function setEnv(env: string[], entry: string): void {
  const name = entry.split('=', 1)[0]!;
  const index = env.findIndex((other) => other.startsWith(`${name}=`));
  if (index < 0) env.push(entry);
  else env[index] = entry;
}

function addDevice(spec: OciSpec, node: CdiDeviceNode): void {
  const device = deviceOf(node, spec.process.user);
  const { devices = [] } = spec.linux;
  spec.linux.devices = [...devices.filter(({ path }) => path !== device.path), device];
  if (device.type === 'p') return;
  const { type, major, minor } = device;
  const access = node.permissions || 'rwm';
  spec.linux.resources.devices = [
    ...(spec.linux.resources.devices ?? []),
    { allow: true, type, major, minor, access },
  ];
}

/** What the file leaves out is the host's; owner is the container's user where that is not root. */
function deviceOf(node: CdiDeviceNode, user: OciSpec['process']['user']): OciDevice {
  const hostPath = node.hostPath ?? node.path;
  const own = {
    uid: node.uid ?? (user.uid > 0 ? user.uid : undefined),
    gid: node.gid ?? (user.gid > 0 ? user.gid : undefined),
  };
  let host: OciDevice | undefined;
  if (statSync(hostPath, { throwIfNoEntry: false }) !== undefined) host = deviceNode(hostPath, node.path);
  const type = (node.type ?? host?.type) as OciDevice['type'] | undefined;
  const [major, minor] = [node.major ?? host?.major, node.minor ?? host?.minor];
  if (type === undefined || (type !== 'p' && (major === undefined || minor === undefined)))
    throw new CriError('failed-precondition', `CDI device node ${JSON.stringify(hostPath)}: not a device`);
  return {
    path: node.path,
    type,
    major: major ?? 0,
    minor: minor ?? 0,
    fileMode: node.fileMode ?? host?.fileMode ?? 0o666,
    uid: own.uid ?? host?.uid ?? 0,
    gid: own.gid ?? host?.gid ?? 0,
  };
}
