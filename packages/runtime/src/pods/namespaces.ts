import { hostname } from 'node:os';
import {
  createPinnedNamespaces,
  createPinnedUserNamespace,
  inNamespaces,
  type NamespacePins,
  setHostname,
  sysctlSet,
  unpinNamespace,
} from '@amphipod/linux';
import { linkSet, openRtnl } from '@amphipod/netlink';
import type { RuntimeContext } from '../context.ts';
import { CriError } from '../errors.ts';
import type { Sandbox } from '../store/records.ts';
import { sandboxPaths } from './paths.ts';

const loopbackIfIndex = 1;
// fs.mqueue and the SysV limits live in the IPC namespace, net in the network namespace (namespaces(7)).
const ipcSysctl = /^(kernel\.(shm|msg|sem)|fs\.mqueue\.)/;

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
  for (const [key, value] of Object.entries(sandbox.config.linux?.sysctls ?? {})) setSysctl(key, value);
}

/** Removes the pins; fine when they are gone. */
export function removeSandboxNamespaces(context: RuntimeContext, sandboxId: string): void {
  const { net, ipc, uts, user } = sandboxPaths(context.config, sandboxId);
  for (const pin of [net, ipc, uts, user]) unpinNamespace(pin);
}

/** @throws CriError invalid-argument for a sysctl that would change the node, not the pod */
export function checkSysctls(sandbox: Sandbox): void {
  for (const key of Object.keys(sandbox.config.linux?.sysctls ?? {})) {
    const dotted = key.replaceAll('/', '.');
    const { network, ipc } = sandbox.namespaces;
    if (dotted.startsWith('net.') && network === 'pod') continue;
    if (ipcSysctl.test(dotted) && ipc === 'pod') continue;
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
    throw new CriError('invalid-argument', `set sysctl ${JSON.stringify(key)} to ${JSON.stringify(value)}`, {
      cause,
    });
  }
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
