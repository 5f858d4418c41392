import { readFileSync } from 'node:fs';

const MICROSECONDS = 1_000_000;
const NANOSECONDS = 1_000_000_000;
const MAX_U32 = 0xffff_ffff;

/** The packet scheduler's clock: the kernel counts the time that a burst takes in ticks of it. */
export interface Psched {
  ticksPerMicrosecond: number;
}

/** The clock of this kernel. @throws Error with the code ENOENT when it has no traffic control */
export function readPsched(): Psched {
  return parsePsched(readFileSync('/proc/net/psched', 'latin1'));
}

/** Four hexadecimal numbers, as iproute2 reads them: ticks and microseconds of a unit, resolution, resolution of timers. */
export function parsePsched(text: string): Psched {
  const [ticks = Number.NaN, microseconds = Number.NaN, resolution = Number.NaN] = text
    .trim()
    .split(/\s+/)
    .map((number) => Number.parseInt(number, 16));
  // Kernels with a clock of nanoseconds print a first number that is meant for old programs.
  const unit = resolution === NANOSECONDS ? microseconds : ticks;
  const ticksPerMicrosecond = (unit / microseconds) * (resolution / MICROSECONDS);
  if (!(ticksPerMicrosecond > 0) || !Number.isFinite(ticksPerMicrosecond)) {
    throw new RangeError(`read packet scheduler clock: got ${JSON.stringify(text.trim())}`);
  }
  return { ticksPerMicrosecond };
}

/** Ticks that `bytes` take at a rate; as in tc both steps are cut to whole numbers, and what is too long is the longest. */
export function transmitTicks(psched: Psched, bytes: number, bytesPerSecond: number): number {
  const microseconds = Math.min(Math.trunc((bytes * MICROSECONDS) / bytesPerSecond), MAX_U32);
  return Math.min(Math.trunc(microseconds * psched.ticksPerMicrosecond), MAX_U32);
}
