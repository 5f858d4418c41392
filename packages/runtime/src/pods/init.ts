import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { findProcess, signalProcess } from '@amphipod/linux';
import type { RuntimeContext } from '../context.ts';
import { CriError } from '../errors.ts';
import { leafCgroup, ociCgroupsPath, scopeAnnotations } from '../oci/cgroup-driver.ts';
import { cleanUpContainer } from '../oci/cleanup.ts';
import { createUnderConmon, killMonitor } from '../oci/conmon.ts';
import { runtimeFor } from '../oci/runtimes.ts';
import type { OciSpec } from '../oci/spec.ts';
import { startCreated } from '../oci/start.ts';
import type { Sandbox } from '../store/records.ts';
import { sandboxPaths } from './paths.ts';
import { userNamespaceMaps } from './user-namespace.ts';

/** Name of the init's leaf below the pod's cgroup, and its id for the OCI runtime. */
export function initId(sandboxId: string): string {
  return `${sandboxId}-init`;
}

/**
 * Starts the process that holds the pod's shared PID namespace: `catatonit -P`, from the node, without an image.
 * It reaps orphans and never ends by itself.
 */
export async function startSandboxInit(context: RuntimeContext, sandbox: Sandbox): Promise<void> {
  const paths = sandboxPaths(context.config, sandbox.id);
  const id = initId(sandbox.id);
  for (const dir of ['dev', 'proc', 'sys']) mkdirSync(`${paths.init}/rootfs/${dir}`, { recursive: true });
  writeFileSync(`${paths.init}/rootfs/init`, '');
  writeFileSync(`${paths.init}/config.json`, JSON.stringify(initSpec(context, sandbox)));
  const runtime = runtimeFor(context.runtimes, sandbox.runtimeHandler);
  const pid = await createUnderConmon({
    conmonPath: context.programs.conmon,
    runtime,
    containerId: id,
    bundle: paths.init,
    pidFile: `${paths.init}/pid`,
    conmonPidFile: `${paths.init}/conmon.pid`,
    exitDir: context.exits.path,
    socketDir: paths.init,
    logPath: undefined,
    terminal: false,
    stdin: false,
    stdinOnce: false,
    systemdCgroup: context.cgroupDriver === 'systemd',
    sharesDevices: sandbox.userns !== undefined,
  });
  await startCreated(runtime, id, { pid });
  const init = findProcess(pid);
  if (init === undefined) throw new CriError('internal', `start sandbox init: process ${pid} ended at once`);
  context.store.sandboxes.update(sandbox, { init });
}

/** Makes sure that a sandbox has an init: a container may ask for the pod's PID namespace where the pod did not. */
export async function ensureSandboxInit(context: RuntimeContext, sandbox: Sandbox): Promise<void> {
  if (sandbox.init === undefined) await startSandboxInit(context, sandbox);
}

/** Ends the init, and with it every process in the pod's PID namespace; fine when there is none. */
export async function stopSandboxInit(context: RuntimeContext, sandbox: Sandbox): Promise<void> {
  const id = initId(sandbox.id);
  const paths = sandboxPaths(context.config, sandbox.id);
  if (sandbox.init === undefined) await killMonitor(`${paths.init}/conmon.pid`, id);
  else signalProcess(sandbox.init, 'SIGKILL');
  await cleanUpContainer(runtimeFor(context.runtimes, sandbox.runtimeHandler), id, {
    cgroups: context.cgroups,
    cgroupPath: leafCgroup(context.cgroupDriver, sandbox.cgroupParent, id),
  });
  context.exits.forget(id);
  rmSync(paths.init, { recursive: true, force: true });
  context.store.sandboxes.update(sandbox, { init: undefined });
}

function initSpec(context: RuntimeContext, sandbox: Sandbox): OciSpec {
  const paths = sandboxPaths(context.config, sandbox.id);
  const { network, ipc } = sandbox.namespaces;
  const none = { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] };
  return {
    ociVersion: '1.0.2',
    process: {
      terminal: false,
      // A user namespace need not have an id that high; its root is nobody on the node.
      user: sandbox.userns === undefined ? { uid: 65535, gid: 65535 } : { uid: 0, gid: 0 },
      args: ['/init', '-P'],
      env: [],
      cwd: '/',
      capabilities: none,
      noNewPrivileges: true,
    },
    root: { path: 'rootfs', readonly: true },
    mounts: [
      {
        destination: '/init',
        type: 'bind',
        source: context.programs.init,
        options: ['bind', 'ro', 'nosuid', 'nodev'],
      },
      { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
      // The OCI runtime makes its default devices in any case, and opens one: it could not in the state directory below /run.
      {
        destination: '/dev',
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['nosuid', 'noexec', 'mode=755', 'size=64k'],
      },
    ],
    annotations: scopeAnnotations(context.cgroupDriver),
    linux: {
      namespaces: [
        { type: 'pid' },
        { type: 'mount' },
        ...(sandbox.userns === undefined ? [] : [{ type: 'user' as const, path: paths.user }]),
        ...(ipc === 'pod' ? [{ type: 'ipc' as const, path: paths.ipc }] : []),
        ...(network === 'pod'
          ? [
              { type: 'network' as const, path: paths.net },
              { type: 'uts' as const, path: paths.uts },
            ]
          : []),
      ],
      ...userNamespaceMaps(sandbox),
      cgroupsPath: ociCgroupsPath(
        context.cgroupDriver,
        leafCgroup(context.cgroupDriver, sandbox.cgroupParent, initId(sandbox.id)),
      ),
      resources: { devices: [{ allow: false, access: 'rwm' }], cpu: { shares: 2 } },
      maskedPaths: ['/proc/acpi', '/proc/kcore', '/proc/keys', '/proc/timer_list', '/sys/firmware'],
      readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
    },
  };
}
