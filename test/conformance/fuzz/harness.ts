import assert from 'node:assert/strict';
import { chownSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Random, randomOf } from './random.ts';
import { Watchdog } from './watchdog.ts';

const seed = Number(process.env.AMPHIPOD_FUZZ_SEED ?? Date.now() % 2 ** 31);
/** Of all suites together. */
const runs = Number(process.env.AMPHIPOD_FUZZ_RUNS ?? 100_000);
const HANG_MS = 15_000;
const NOBODY = 65_534;

/** Part of AMPHIPOD_FUZZ_RUNS: 0.2 runs a fifth as many cases. Those of the tests of one subject (the plugins, images) are 1 at most together. */
export type Share = number;

/** One generated case; `note` keeps what a failure is to show of it. */
export type FuzzCase = (random: Random, note: (input: string) => void) => void | Promise<void>;

/** Registers a test of many cases. They are numbered, and each repeats by seed and number. */
export function fuzz(name: string, share: Share, work: FuzzCase): void {
  test(`whatever comes in: ${name}`, async (t) => {
    using watchdog = new Watchdog(HANG_MS);
    const count = Math.ceil(runs * share);
    t.diagnostic(`${count} cases of seed ${seed}`);
    for (let i = 0; i < count; i++) {
      watchdog.begin(`${name}, seed ${seed}, case`, i);
      let input = '';
      try {
        await work(randomOf(seed, name, i), (text) => {
          input = text;
        });
      } catch (cause) {
        const shown = input.length > 2000 ? `${input.slice(0, 2000)}…` : input;
        throw new Error(`AMPHIPOD_FUZZ_SEED=${seed}, case ${i}: ${(cause as Error).message}\n${shown}`, {
          cause,
        });
      }
    }
  });
}

/**
 * Gives up root for the tests of this file, so that a path made of a generated string does no harm, and hands out a
 * directory that may still be written to.
 */
export function asNobody(): { readonly dir: string } {
  const dir = mkdtempSync(join(tmpdir(), 'cni-fuzz-'));
  before(() => {
    mkdirSync(join(dir, 'cache', 'results'), { recursive: true });
    for (const path of [dir, join(dir, 'cache'), join(dir, 'cache', 'results')])
      chownSync(path, NOBODY, NOBODY);
    process.chdir('/');
    process.env.PATH = '/nonexistent';
    process.setgroups?.([]);
    process.setgid?.(NOBODY);
    process.setuid?.(NOBODY);
  });
  after(() => rmSync(dir, { recursive: true, force: true }));
  return { dir };
}

/** Numbers that the specification and the reference know: 1 to 8, 11, 50, 51, and those of plugins from 100 on. */
export function assertCniError(error: unknown, { allowInternal = false } = {}): void {
  const { name, number, message } = error as { name?: string; number?: number; message?: string };
  assert.equal(name, 'CniError', `${name}: ${message}`);
  const isKnown =
    Number.isSafeInteger(number) &&
    ((number! >= 1 && number! <= 8) || [11, 50, 51].includes(number!) || number! >= 100);
  assert.ok(isKnown, `number ${number}: ${message}`);
  assert.ok(allowInternal || number !== 999, `number 999: ${message}`);
  const mistake = mistakeIn(error);
  assert.equal(mistake, undefined, `${mistake?.stack}`);
}

/** A mistake of ours behind an error: what JavaScript itself throws, but for paths and variables that cannot be. */
export function mistakeIn(error: unknown): Error | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const isOfLanguage =
      cause instanceof TypeError || cause instanceof ReferenceError || cause instanceof RangeError;
    if (isOfLanguage && !(cause as NodeJS.ErrnoException).code?.startsWith('ERR_INVALID_')) return cause;
  }
  return undefined;
}
