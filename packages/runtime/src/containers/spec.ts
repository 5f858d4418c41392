import type { OciImageConfig } from '@amphipod/images';
import type { RuntimeContext } from '../context.ts';
import { CriError } from '../errors.ts';
import { NamespaceMode } from '../gen/api.ts';
import { ociCgroupsPath, scopeAnnotations } from '../oci/cgroup-driver.ts';
import type { OciLinux, OciSpec } from '../oci/spec.ts';
import type { Container, Sandbox } from '../store/records.ts';
import { containerApparmorProfile } from './apparmor.ts';
import { containerCapabilities } from './capabilities.ts';
import { containerDevices } from './devices.ts';
import { containerMounts, rootfsPropagation, type SandboxMountSources } from './mounts.ts';
import { processArgs, processEnv } from './process.ts';
import { clampOomScoreAdj, containerResources } from './resources.ts';
import { containerSeccomp } from './seccomp.ts';

/** Where a container joins the namespaces of its pod. */
export interface SandboxNamespacePaths {
  net: string;
  ipc: string;
  uts: string;
  hostname: string;
}

export interface SpecOptions {
  image: OciImageConfig;
  namespaces: SandboxNamespacePaths;
  mountSources: SandboxMountSources;
  /** Pid of the sandbox's init, for a shared PID namespace. */
  initPid: number | undefined;
}

/** The OCI configuration of a container. @throws CriError invalid-argument naming the field that is wrong */
export function containerSpec(
  context: RuntimeContext,
  sandbox: Sandbox,
  container: Container,
  options: SpecOptions,
): OciSpec {
  const { config, user } = container;
  const security = config.linux?.securityContext;
  const capabilities = containerCapabilities(security);
  const resources = config.linux?.resources;
  const privileged = security?.privileged ?? false;
  const { devices, rules } = containerDevices(config.devices, privileged);
  const apparmorProfile = containerApparmorProfile(security);
  const seccomp = containerSeccomp(security, {
    defaultProfile: context.config.seccompProfile,
    capabilities: capabilities.bounding,
  });
  return {
    ociVersion: '1.0.2',
    process: {
      terminal: config.tty,
      user: { uid: user.uid, gid: user.gid, additionalGids: user.groups },
      args: processArgs(config, options.image),
      env: processEnv(config, options.image, options.namespaces.hostname),
      cwd: config.workingDir || options.image.WorkingDir || '/',
      capabilities,
      noNewPrivileges: security?.noNewPrivs ?? false,
      ...(apparmorProfile !== undefined && { apparmorProfile }),
      ...(resources !== undefined && { oomScoreAdj: clampOomScoreAdj(Number(resources.oomScoreAdj)) }),
    },
    root: { path: 'rootfs', readonly: security?.readonlyRootfs ?? false },
    mounts: containerMounts(config, sandbox, options.mountSources),
    annotations: {
      'amphipod.sandbox': sandbox.id,
      'amphipod.container': container.id,
      ...scopeAnnotations(context.cgroupDriver),
    },
    linux: {
      namespaces: [
        ...namespacesOf(sandbox, container, options),
        // On version 2 a container sees its own cgroup as the root, as with the other runtimes.
        ...(context.cgroups.version === 2 && !privileged ? [{ type: 'cgroup' as const }] : []),
      ],
      cgroupsPath: ociCgroupsPath(context.cgroupDriver, container.cgroupPath),
      resources: { ...containerResources(resources, context.cgroups), devices: rules },
      devices,
      maskedPaths: privileged ? [] : (security?.maskedPaths ?? []),
      readonlyPaths: privileged ? [] : (security?.readonlyPaths ?? []),
      rootfsPropagation: rootfsPropagation(config),
      ...(seccomp !== undefined && { seccomp }),
    },
  };
}

function namespacesOf(sandbox: Sandbox, container: Container, options: SpecOptions): OciLinux['namespaces'] {
  const { net, ipc, uts } = options.namespaces;
  return [
    { type: 'mount' },
    ...(sandbox.namespaces.network === 'pod'
      ? [
          { type: 'network' as const, path: net },
          { type: 'uts' as const, path: uts },
        ]
      : []),
    ...(sandbox.namespaces.ipc === 'pod' ? [{ type: 'ipc' as const, path: ipc }] : []),
    ...pidNamespace(container, options.initPid),
  ];
}

/** The PID namespace mode of a container; an absent message means POD (api.proto, NamespaceOption). */
export function pidModeOf(container: Container): NamespaceMode {
  return container.config.linux?.securityContext?.namespaceOptions?.pid ?? NamespaceMode.POD;
}

function pidNamespace(container: Container, initPid: number | undefined): OciLinux['namespaces'] {
  const mode = pidModeOf(container);
  switch (mode) {
    case NamespaceMode.CONTAINER:
      return [{ type: 'pid' }];
    case NamespaceMode.NODE:
      return [];
    case NamespaceMode.POD:
      return [{ type: 'pid', path: `/proc/${initPid}/ns/pid` }];
    case NamespaceMode.TARGET:
      throw new CriError('unimplemented', 'namespace_options.pid TARGET: not supported yet');
    default:
      throw new CriError('invalid-argument', `namespace_options.pid ${mode}: unknown mode`);
  }
}
