import type { OciImageConfig } from '@amphipod/images';
import { applyCdiEdits, cdiMounts } from '../cdi/apply-edits.ts';
import type { ContainerEdits } from '../cdi/spec.ts';
import type { RuntimeContext } from '../context.ts';
import { podDevices } from '../devices/pod-devices.ts';
import type { Device } from '../gen/api.ts';
import { ociCgroupsPath, scopeAnnotations } from '../oci/cgroup-driver.ts';
import type { OciLinux, OciMount, OciSpec } from '../oci/spec.ts';
import { userNamespaceMaps } from '../pods/user-namespace.ts';
import type { Container, Sandbox } from '../store/records.ts';
import { containerCapabilities } from './capabilities.ts';
import { containerDevices } from './devices.ts';
import { containerMounts, rootfsPropagation, type SandboxMountSources } from './mounts.ts';
import { processArgs, processEnv, workingDirectory } from './process.ts';
import { clampOomScoreAdj, containerResources } from './resources.ts';
import { containerRlimits } from './rlimits.ts';
import { containerSeccomp } from './seccomp.ts';
import type { SelinuxLabels } from './selinux.ts';

/** Where a container joins the namespaces of its pod. */
export interface SandboxNamespacePaths {
  net: string;
  ipc: string;
  uts: string;
  user: string;
  hostname: string;
}

export interface SpecOptions {
  image: OciImageConfig;
  namespaces: SandboxNamespacePaths;
  mountSources: SandboxMountSources;
  /** From {@link pidNamespace}. */
  pidNamespace: OciLinux['namespaces'];
  /** From {@link prepareVolumes}. */
  volumes: readonly OciMount[];
  /** From {@link containerApparmorProfile}. */
  apparmorProfile: string | undefined;
  selinux: SelinuxLabels | undefined;
  /** Of CDI devices. */
  edits: readonly ContainerEdits[];
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
  const ofNetworks = podDevices(sandbox);
  const { devices, rules } = containerDevices(withoutTwice(config.devices, ofNetworks.devices), privileged);
  const { apparmorProfile, selinux } = options;
  const seccomp = containerSeccomp(security, {
    defaultProfile: context.config.seccompProfile,
    capabilities: capabilities.bounding,
  });
  const volumes = [...options.volumes, ...cdiMounts(options.edits)];
  const spec: OciSpec = {
    ociVersion: '1.0.2',
    process: {
      terminal: config.tty,
      user: { uid: user.uid, gid: user.gid, additionalGids: user.groups },
      args: processArgs(config, options.image),
      env: processEnv(config, options.image, {
        hostname: options.namespaces.hostname,
        home: user.home,
        devices: ofNetworks.env,
      }),
      cwd: workingDirectory(config, options.image),
      capabilities,
      rlimits: containerRlimits(context.config.defaultUlimits),
      noNewPrivileges: security?.noNewPrivs ?? false,
      ...(apparmorProfile !== undefined && { apparmorProfile }),
      ...(selinux && { selinuxLabel: selinux.process }),
      ...(resources !== undefined && { oomScoreAdj: clampOomScoreAdj(Number(resources.oomScoreAdj)) }),
    },
    root: { path: 'rootfs', readonly: security?.readonlyRootfs ?? false },
    mounts: containerMounts(config, sandbox, { pod: options.mountSources, volumes }),
    annotations: {
      'amphipod.sandbox': sandbox.id,
      'amphipod.container': container.id,
      ...scopeAnnotations(context.cgroupDriver),
    },
    linux: {
      namespaces: [
        ...namespacesOf(sandbox, options),
        // On version 2 a container sees its own cgroup as the root, as with the other runtimes.
        ...(context.cgroups.version === 2 && !privileged ? [{ type: 'cgroup' as const }] : []),
      ],
      ...userNamespaceMaps(sandbox),
      cgroupsPath: ociCgroupsPath(context.cgroupDriver, container.cgroupPath),
      resources: { ...containerResources(resources, context.cgroups), devices: rules },
      devices,
      maskedPaths: privileged ? [] : (security?.maskedPaths ?? []),
      readonlyPaths: privileged ? [] : (security?.readonlyPaths ?? []),
      rootfsPropagation: rootfsPropagation(config),
      ...(selinux && { mountLabel: selinux.mount }),
      ...(seccomp !== undefined && { seccomp }),
    },
  };
  applyCdiEdits(spec, options.edits);
  return spec;
}

/** What the pod's configuration says goes before what we add. */
function withoutTwice(configured: readonly Device[], more: readonly Device[]): Device[] {
  const paths = new Set(configured.map(({ containerPath }) => containerPath));
  return [...configured, ...more.filter(({ containerPath }) => !paths.has(containerPath))];
}

function namespacesOf(sandbox: Sandbox, options: SpecOptions): OciLinux['namespaces'] {
  const { net, ipc, uts, user } = options.namespaces;
  return [
    { type: 'mount' },
    ...(sandbox.userns === undefined ? [] : [{ type: 'user' as const, path: user }]),
    ...(sandbox.namespaces.network === 'pod'
      ? [
          { type: 'network' as const, path: net },
          { type: 'uts' as const, path: uts },
        ]
      : []),
    ...(sandbox.namespaces.ipc === 'pod' ? [{ type: 'ipc' as const, path: ipc }] : []),
    ...options.pidNamespace,
  ];
}
