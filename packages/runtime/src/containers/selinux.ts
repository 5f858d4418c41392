import { randomInt } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { isCode } from '@amphipod/linux';
import { CriError } from '../errors.ts';
import type { SELinuxOption } from '../gen/api.ts';
import type { Container, Sandbox } from '../store/records.ts';

/** SELinux of this machine, for tests to replace. */
export interface Selinux {
  isEnabled(): boolean;
  /** Label of a container's process and of its files, without a level of its own: the policy's lxc_contexts(5). */
  contexts(): { process: string; file: string };
}

/** Labels of a container. */
export interface SelinuxLabels {
  process: string;
  /** Of its root file system and what the runtime makes for it. */
  mount: string;
}

const categories = 1024;

/**
 * A level that no other pod has: `s0:cA,cB`, so that SELinux keeps pods apart (MCS).
 * @param taken levels of the other pods
 */
export function newSelinuxLevel(taken: ReadonlySet<string>, random = randomInt): string {
  for (;;) {
    const [a, b] = [random(categories), random(categories)].toSorted((x, y) => x - y);
    const level = `s0:c${a},c${b}`;
    if (a !== b && !taken.has(level)) return level;
  }
}

/**
 * The labels of a container; undefined where SELinux is off: then the options have no meaning, as everywhere.
 * @param options the container's, else the pod's
 * @param podLevel from {@link newSelinuxLevel}, unless the options name one
 * @throws CriError invalid-argument for parts that cannot be of a label
 */
export function selinuxLabels(
  options: SELinuxOption | undefined,
  { podLevel, privileged }: { podLevel: string; privileged: boolean },
  selinux: Selinux = ofThisMachine,
): SelinuxLabels | undefined {
  if (!selinux.isEnabled()) return undefined;
  const { user = '', role = '', type = '', level = '' } = options ?? {};
  for (const [field, value] of Object.entries({ user, role, type })) {
    if (value !== '' && !/^\w+$/.test(value)) throw refuse(field, value);
  }
  if (level !== '' && !/^s\d+(-s\d+)?(:c\d+(\.c\d+)?(,c\d+(\.c\d+)?)*)?$/.test(level))
    throw refuse('level', level);
  const { process, file } = selinux.contexts();
  const [processUser, processRole, processType] = process.split(':');
  const [fileUser, fileRole, fileType] = file.split(':');
  const own = level || podLevel;
  const ownType = type || (privileged ? 'spc_t' : processType);
  return {
    process: `${user || processUser}:${role || processRole}:${ownType}:${own}`,
    mount: `${user || fileUser}:${fileRole}:${fileType}:${own}`,
  };
}

/** {@link selinuxLabels} of a container in its pod. */
export function labelsOf(sandbox: Sandbox, container: Container): SelinuxLabels | undefined {
  const security = container.config.linux?.securityContext;
  const ofPod = sandbox.config.linux?.securityContext?.selinuxOptions;
  return selinuxLabels(security?.selinuxOptions ?? ofPod, {
    podLevel: ofPod?.level || (sandbox.selinuxLevel ?? 's0'),
    privileged: security?.privileged ?? false,
  });
}

function refuse(field: string, value: string): CriError {
  return new CriError('invalid-argument', `selinux_options.${field} ${JSON.stringify(value)}: malformed`);
}

/**
 * Whether the kernel labels processes and files. Many kernels have SELinux switched on without a policy: every process is
 * labelled "kernel" then, and OCI runtimes refuse labels.
 */
export function isSelinuxEnabled({
  enforce = '/sys/fs/selinux/enforce',
  current = '/proc/self/attr/current',
} = {}): boolean {
  return existsSync(enforce) && readIfThere(current).replace(/[\0\s]+$/, '') !== 'kernel';
}

const ofThisMachine: Selinux = {
  isEnabled: () => isSelinuxEnabled(),
  contexts() {
    const type = /^\s*SELINUXTYPE=(\S+)/m.exec(readIfThere('/etc/selinux/config'))?.[1] ?? 'targeted';
    const text = readIfThere(`/etc/selinux/${type}/contexts/lxc_contexts`);
    const value = (key: string) => new RegExp(`^\\s*${key}\\s*=\\s*"([^"]+)"`, 'm').exec(text)?.[1];
    return {
      process: value('process') ?? 'system_u:system_r:container_t:s0',
      file: value('file') ?? 'system_u:object_r:container_file_t:s0',
    };
  },
};

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT', 'EINVAL')) return '';
    throw error;
  }
}
