import { readFileSync } from 'node:fs';
import { CriError } from '../errors.ts';
import type { OciProcess } from '../oci/spec.ts';
import { hasCapability } from './capabilities.ts';

type Rlimits = NonNullable<OciProcess['rlimits']>;

// The names of setrlimit(2), without RLIMIT_, and what /proc/PID/limits calls them.
const names: Record<string, string> = {
  as: 'Max address space',
  core: 'Max core file size',
  cpu: 'Max cpu time',
  data: 'Max data size',
  fsize: 'Max file size',
  locks: 'Max file locks',
  memlock: 'Max locked memory',
  msgqueue: 'Max msgqueue size',
  nice: 'Max nice priority',
  nofile: 'Max open files',
  nproc: 'Max processes',
  rss: 'Max resident set',
  rtprio: 'Max realtime priority',
  rttime: 'Max realtime timeout',
  sigpending: 'Max pending signals',
  stack: 'Max stack size',
};

/** What OCI takes for "unlimited". */
const unlimited = 2 ** 53 - 1;

interface Ulimit {
  name: string;
  soft: number;
  hard: number;
}

/** Reads `NAME=SOFT[:HARD]`, as `nofile=1024:524288`; numbers or `unlimited`. @throws CriError invalid-argument */
export function parseUlimit(text: string): Ulimit {
  const [, name = '', softText = '', hardText = softText] =
    /^([a-z]+)=(\d+|unlimited)(?::(\d+|unlimited))?$/.exec(text) ?? [];
  const refuse = (why: string) => new CriError('invalid-argument', `ulimit ${JSON.stringify(text)}: ${why}`);
  if (name === '') throw refuse('must be NAME=SOFT or NAME=SOFT:HARD');
  if (names[name] === undefined) throw refuse(`unknown name; known are ${Object.keys(names).join(', ')}`);
  const toNumber = (limit: string) => (limit === 'unlimited' ? unlimited : Number(limit));
  const [soft, hard] = [toNumber(softText), toNumber(hardText)];
  if (soft > hard) throw refuse('the soft limit is above the hard one');
  return { name, soft, hard };
}

/**
 * The limits of a container's processes: the configured ones, never the daemon's, which may be a billion (field case RES-09).
 * Without CAP_SYS_RESOURCE nobody can go above his own hard limit (setrlimit(2)): then they are lowered to it.
 */
export function containerRlimits(
  ulimits: readonly string[],
  {
    mayRaise = hasCapability('SYS_RESOURCE'),
    own = readFileSync('/proc/self/limits', 'latin1'),
  }: { mayRaise?: boolean; own?: string } = {},
): Rlimits {
  return ulimits.map(parseUlimit).map(({ name, soft, hard }) => {
    const most = mayRaise ? unlimited : ownHardLimit(own, name);
    return { type: `RLIMIT_${name.toUpperCase()}`, soft: Math.min(soft, most), hard: Math.min(hard, most) };
  });
}

/** @param limits text of proc_pid_limits(5) */
function ownHardLimit(limits: string, name: string): number {
  const line = limits.split('\n').find((text) => text.startsWith(`${names[name]!} `)) ?? '';
  const hard = line.slice(names[name]!.length).trim().split(/\s+/)[1] ?? 'unlimited';
  return hard === 'unlimited' ? unlimited : Number(hard);
}
