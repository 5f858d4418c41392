import { hostname } from 'node:os';
import {
  createPinnedNamespaces,
  createPinnedUserNamespace,
  inNamespaces,
  type NamespacePins,
  setHostname,
  sysctlPath,
  sysctlSet,
  unpinNamespace,
} from '@amphipod/linux';
import { linkSet, openRtnl } from '@amphipod/netlink';
import type { RuntimeContext } from '../context.ts';
import { CriError } from '../errors.ts';
import { runProgram } from '../oci/run-runtime.ts';
import type { Sandbox } from '../store/records.ts';
import { type SandboxPaths, sandboxPaths } from './paths.ts';

const loopbackIfIndex = 1;
// fs.mqueue and the SysV limits live in the IPC namespace, net in the network namespace (namespaces(7)).
const isIpcSysctl = (key: string) => /^(kernel[./](shm|msg|sem)|fs[./]mqueue[./])/.test(key);

/**
 * Makes and pins the namespaces that the sandbox does not share with the node, brings `lo` up, sets host name and
 * sysctls inside. All or nothing.
 */
export async function createSandboxNamespaces(context: RuntimeContext, sandbox: Sandbox): Promise<void> {
  const paths = sandboxPaths(context.config, sandbox.id);
  const { network, ipc } = sandbox.namespaces;
  const pins: NamespacePins = {
    // A pod on the node's network shows the node's host name.
    ...(network === 'pod' && { net: paths.net, uts: paths.uts }),
    ...(ipc === 'pod' && { ipc: paths.ipc }),
  };
  if (Object.keys(pins).length === 0) return;
  if (sandbox.userns === undefined) {
    createPinnedNamespaces(pins, () => setUp(pins, sandbox));
    return;
  }
  await createPinnedUserNamespace({ ...pins, user: paths.user }, sandbox.userns);
  try {
    inNamespaces(pins, () => setUp(pins, sandbox));
    for (const [key, value] of sysctlsOf(sandbox))
      if (isIpcSysctl(key)) await setAsPodRoot(paths, key, value);
  } catch (error) {
    removeSandboxNamespaces(context, sandbox.id);
    throw error;
  }
}

/** To be run inside the new namespaces. */
function setUp(pins: NamespacePins, sandbox: Sandbox): void {
  if (pins.uts !== undefined) setHostname(hostnameOf(sandbox));
  if (pins.net !== undefined) {
    using rtnl = openRtnl();
    linkSet(rtnl, loopbackIfIndex, { up: true });
  }
  for (const [key, value] of sysctlsOf(sandbox)) {
    if (sandbox.userns === undefined || !isIpcSysctl(key)) setSysctl(key, value);
  }
}

function sysctlsOf(sandbox: Sandbox): [key: string, value: string][] {
  return Object.entries(sandbox.config.linux?.sysctls ?? {});
}

/** Those of an IPC namespace are only for the root of its user namespace, who is none of ours (ipc/ipc_sysctl.c). */
async function setAsPodRoot({ user, ipc }: SandboxPaths, key: string, value: string): Promise<void> {
  const enter = [`--user=${user}`, `--ipc=${ipc}`, '--setuid', '0', '--setgid', '0'];
  const script = ['/bin/sh', '-c', 'printf %s "$2" >"$1"', 'sh', sysctlPath(key), value];
  try {
    await runProgram(['nsenter', ...enter, '--', ...script]);
  } catch (cause) {
    throw badSysctl(key, value, cause);
  }
}

/** Removes the pins; fine when they are gone. */
export function removeSandboxNamespaces(context: RuntimeContext, sandboxId: string): void {
  const { net, ipc, uts, user } = sandboxPaths(context.config, sandboxId);
  for (const pin of [net, ipc, uts, user]) unpinNamespace(pin);
}

/** @throws CriError invalid-argument for a sysctl that would change the node, not the pod */
export function checkSysctls(sandbox: Sandbox): void {
  for (const key of Object.keys(sandbox.config.linux?.sysctls ?? {})) {
    const { network, ipc } = sandbox.namespaces;
    if (/^net[./]/.test(key) && network === 'pod') continue;
    if (isIpcSysctl(key) && ipc === 'pod') continue;
    throw new CriError(
      'invalid-argument',
      `sysctl ${JSON.stringify(key)}: not in a namespace of the pod (network ${network}, ipc ${ipc})`,
    );
  }
}

function setSysctl(key: string, value: string): void {
  try {
    sysctlSet(key, value);
  } catch (cause) {
    throw badSysctl(key, value, cause);
  }
}

function badSysctl(key: string, value: string, cause: unknown): CriError {
  const text = `set sysctl ${JSON.stringify(key)} to ${JSON.stringify(value)}`;
  return new CriError('invalid-argument', text, { cause });
}

/** What the kernel takes (__NEW_UTS_LEN of linux/utsname.h). */
const maxHostnameBytes = 64;

/** @throws CriError invalid-argument for a host name that the kernel would refuse (field case LIF-12) */
export function checkHostname({ config, namespaces }: Sandbox): void {
  const bytes = Buffer.byteLength(config.hostname);
  if (namespaces.network === 'node' || bytes <= maxHostnameBytes) return;
  const why = `has ${bytes} bytes, the kernel takes ${maxHostnameBytes}`;
  throw new CriError('invalid-argument', `config.hostname ${JSON.stringify(config.hostname)}: ${why}`);
}

/** The host name that a pod sees: on the node's network the node's. */
export function hostnameOf({ config, namespaces, id }: Sandbox): string {
  return namespaces.network === 'node' ? hostname() : config.hostname || id.slice(0, 12);
}
