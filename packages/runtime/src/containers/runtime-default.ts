import type { OciSeccomp } from '../oci/spec.ts';

/** Debian's default profile (package golang-github-containers-common), which other distributions have in the same place. */
export const distributionProfile = '/usr/share/containers/seccomp.json';

const EPERM = 1;
const ENOSYS = 38;

/** What {@link distributionProfile} allows to everybody, and Docker and containerd only to those with the capability. */
const guarded: { capability?: string; names: string[] }[] = [
  {
    capability: 'CAP_SYS_ADMIN',
    names:
      'mount umount umount2 mount_setattr move_mount open_tree open_tree_attr fsopen fsconfig fsmount fspick pivot_root setns unshare'.split(
        ' ',
      ),
  },
  { capability: 'CAP_SYS_BOOT', names: ['reboot'] },
  { capability: 'CAP_SYSLOG', names: ['syslog'] },
  { capability: 'CAP_SYS_PTRACE', names: ['pidfd_getfd'] },
  // Keyrings are not of any namespace.
  { names: ['keyctl', 'add_key', 'request_key'] },
];

/** CLONE_NEW… of linux/sched.h: time aside, which only clone3 takes. */
const namespaceFlags = [
  0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000,
];

/**
 * Makes the distribution's profile, which is for Podman and lets everybody make namespaces and mounts in them, what
 * RuntimeDefault is elsewhere (docs/adr/0022): those calls only for containers with the capability. What is taken away fails
 * with EPERM; clone3, whose flags no filter can see, with ENOSYS, so that C libraries fall back to clone (field case RES-08).
 * @param capabilities of the container's bounding set
 */
export function restrictToRuntimeDefault(seccomp: OciSeccomp, capabilities: readonly string[]): OciSeccomp {
  const denied = guarded.flatMap(({ capability, names }) =>
    capability !== undefined && capabilities.includes(capability) ? [] : names,
  );
  const makesNamespaces = capabilities.includes('CAP_SYS_ADMIN');
  const removed = new Set([...denied, ...(makesNamespaces ? [] : ['clone', 'clone3'])]);
  const kept = (seccomp.syscalls ?? [])
    .map((rule) => ({ ...rule, names: rule.names.filter((name) => !removed.has(name)) }))
    .filter(({ names }) => names.length > 0);
  return {
    ...seccomp,
    syscalls: [
      ...kept,
      { names: denied, action: 'SCMP_ACT_ERRNO', errnoRet: EPERM },
      ...(makesNamespaces ? [] : cloneRules()),
    ],
  };
}

function cloneRules(): NonNullable<OciSeccomp['syscalls']> {
  const all = namespaceFlags.reduce((mask, flag) => mask | flag, 0);
  const masked = (mask: number, value: number) => [
    { index: 0, value: mask, valueTwo: value, op: 'SCMP_CMP_MASKED_EQ' },
  ];
  return [
    { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
    { names: ['clone'], action: 'SCMP_ACT_ALLOW', args: masked(all, 0) },
    ...namespaceFlags.map((flag) => ({
      names: ['clone'],
      action: 'SCMP_ACT_ERRNO',
      errnoRet: EPERM,
      args: masked(flag, flag),
    })),
  ];
}
