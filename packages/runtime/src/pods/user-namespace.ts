import { statSync } from 'node:fs';
import type { IdMapping } from '@amphipod/linux';
import { CriError } from '../errors.ts';
import { NamespaceMode, type PodSandboxConfig } from '../gen/api.ts';
import type { OciRuntime } from '../oci/runtimes.ts';
import type { OciIdMapping, OciLinux } from '../oci/spec.ts';
import type { Sandbox, SandboxRecord } from '../store/records.ts';

const field = 'namespace_options.userns_options';

/**
 * The user namespace that a pod asks for; undefined for the node's. An absent message means the node's, as with the other
 * runtimes and against the letter of api.proto: a kubelet that does not know the field wants none.
 * @throws CriError invalid-argument, failed-precondition where the runtime or the kernel cannot
 */
export function podUserNamespace(
  config: PodSandboxConfig,
  namespaces: SandboxRecord['namespaces'],
  { runtime, state }: { runtime: OciRuntime; state: string },
): SandboxRecord['userns'] {
  const options = config.linux?.securityContext?.namespaceOptions?.usernsOptions;
  if (options === undefined || options.mode === NamespaceMode.NODE) return undefined;
  const refuse = (why: string) => new CriError('invalid-argument', `${field}${why}`);
  if (options.mode !== NamespaceMode.POD) throw refuse(`.mode ${options.mode}: must be POD or NODE`);
  for (const kind of ['network', 'ipc', 'pid'] as const) {
    if (namespaces[kind] === 'node')
      throw refuse(`: a pod with a user namespace cannot use the node's ${kind} namespace`);
  }
  const [uids, gids] = [options.uids, options.gids].map((maps, index) => {
    const name = index === 0 ? 'uids' : 'gids';
    if (maps.length !== 1) throw refuse(`.${name}: has ${maps.length} mappings, must have one`);
    const { containerId, hostId, length } = maps[0]!;
    if (containerId !== 0) throw refuse(`.${name}: must map container id 0, maps from ${containerId} on`);
    if (length === 0 || hostId + length > 2 ** 32 - 1)
      throw refuse(`.${name}: host ids ${hostId} to ${hostId + length - 1} are not a range of ids`);
    return [{ containerId, hostId, length }];
  });
  const { problem } = runtime.features.userNamespaces;
  if (problem !== undefined) throw new CriError('failed-precondition', `${field}: ${problem}`);
  const closed = closedAncestor(state);
  if (closed !== undefined) {
    const why = `the users of the pod cannot get through ${JSON.stringify(closed)} to their files (chmod o+x)`;
    throw new CriError('failed-precondition', `${field}: ${why}`);
  }
  return { uids: uids!, gids: gids! };
}

/** The first directory on the way to `path`, or that itself, that lets nobody through but its owner and group. */
function closedAncestor(path: string): string | undefined {
  const ways = path.split('/').map((_, i, parts) => parts.slice(0, i + 1).join('/') || '/');
  return ways.find((dir) => (statSync(dir).mode & 0o001) === 0);
}

/** The maps of the user namespace, which the OCI runtime wants beside its path. */
export function userNamespaceMaps({ userns }: Sandbox): Pick<OciLinux, 'uidMappings' | 'gidMappings'> {
  const toOci = ({ containerId, hostId, length }: IdMapping): OciIdMapping => ({
    containerID: containerId,
    hostID: hostId,
    size: length,
  });
  return userns === undefined
    ? {}
    : { uidMappings: userns.uids.map(toOci), gidMappings: userns.gids.map(toOci) };
}

/** Owner of the pod's files: its root, which on the node is another user where the pod has a user namespace. */
export function podRoot({ userns }: Sandbox): [uid: number, gid: number] {
  return [userns?.uids[0]?.hostId ?? 0, userns?.gids[0]?.hostId ?? 0];
}
