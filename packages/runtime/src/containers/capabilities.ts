import { readFileSync } from 'node:fs';
import { CriError } from '../errors.ts';
import type { LinuxContainerSecurityContext } from '../gen/api.ts';
import type { OciCapabilities } from '../oci/spec.ts';

// include/uapi/linux/capability.h, by number.
const names = (
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE ' +
  'NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN ' +
  'SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE ' +
  'MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE'
).split(' ');

/** What containers get unless they ask for more or less; the set that containerd and Docker use. */
const defaults =
  'CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE'.split(
    ' ',
  );

/** Capabilities that this process has and can hand on (CapEff of proc_pid_status(5)). */
export function ownCapabilities(status = readFileSync('/proc/self/status', 'latin1')): string[] {
  const mask = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  return names.filter((_, bit) => (mask >> BigInt(bit)) & 1n);
}

/** Whether this process has a capability (name without CAP_). */
export function hasCapability(name: string): boolean {
  return ownCapabilities().includes(name);
}

/** The capability sets of a container's process. "ALL" means all that the daemon has. */
export function containerCapabilities(
  security: LinuxContainerSecurityContext | undefined,
  own: readonly string[] = ownCapabilities(),
): OciCapabilities {
  const {
    addCapabilities = [],
    dropCapabilities = [],
    addAmbientCapabilities = [],
  } = security?.capabilities ?? {};
  const add = addCapabilities.map(normalise);
  const drop = dropCapabilities.map(normalise);
  const ambient = addAmbientCapabilities.map(normalise);
  for (const name of [...add, ...ambient]) {
    if (name === 'ALL' || own.includes(name)) continue;
    const text = `capability ${JSON.stringify(name)}: the daemon does not have it, so nobody can get it from it`;
    throw new CriError('failed-precondition', text);
  }
  const usual = defaults.filter((name) => own.includes(name));
  const base = security?.privileged || add.includes('ALL') ? own : drop.includes('ALL') ? [] : usual;
  const set = new Set(base);
  if (!security?.privileged) {
    for (const name of drop) set.delete(name);
    for (const name of [...add, ...ambient]) if (name !== 'ALL') set.add(name);
  }
  const list = [...set].map((name) => `CAP_${name}`);
  const ambientList = ambient.map((name) => `CAP_${name}`);
  return { bounding: list, effective: list, permitted: list, inheritable: ambientList, ambient: ambientList };
}

function normalise(name: string): string {
  const bare = name.toUpperCase().replace(/^CAP_/, '');
  if (bare !== 'ALL' && !names.includes(bare)) {
    throw new CriError('invalid-argument', `capability ${JSON.stringify(name)}: unknown`);
  }
  return bare;
}
