import assert from 'node:assert/strict';
import { createInvoker, type NetConf, type Result } from '@amphipod/cni';
import { pluginBinDir, removeUnused } from '@amphipod/plugins';
import { differences } from '../../conformance/differential/differences.ts';
import { observe } from '../../conformance/differential/observe.ts';
import type { World } from '../../conformance/lib/world.ts';
import { Fuse, fusedPlugins, fuseFilesAndPrograms } from './fuse.ts';

export interface FailEveryStepOptions {
  world: World;
  netns: string;
  /** The chain: all but the last are run undisturbed, the last one's ADD fails at each of its steps in turn. */
  plugins: readonly (Omit<NetConf, 'cniVersion' | 'name'> & { type: string })[];
  args?: string;
  ifName?: string;
  /** Paths of values (see differences.ts) that an ADD may change for the whole machine and leave, with the reason. */
  mayStay?: Readonly<Record<string, string>>;
  /** The same for what an ADD and a DEL that both went well leave. */
  staysAfterDel?: Readonly<Record<string, string>>;
  /** No ADD and DEL beforehand: the first pod of a machine, where the shared tables and settings are made. */
  isFirst?: boolean;
  /** Looks at what {@link observe} does not see, after each failure and at the end. */
  afterFailure?(): Promise<void>;
  /** Puts back what such an ADD and DEL took from the machine, for the steps that are still to fail. */
  restore?(): void;
}

/**
 * Lets step 1, 2, … of an ADD fail until one goes through: each request to the kernel, each change of a file or sysctl, each
 * start of a program. After each failure everything is as before, and the next ADD works. Returns the steps of a whole ADD.
 */
export async function failEveryStep(options: FailEveryStepOptions): Promise<string[]> {
  const {
    world,
    netns,
    plugins,
    mayStay = {},
    staysAfterDel = {},
    isFirst = false,
    restore,
    afterFailure,
  } = options;
  const fuse = new Fuse();
  const last = plugins.at(-1)!;
  const call = caller(fuse, options);
  const prevResult = await addAll(call, plugins.slice(0, -1));
  if (!isFirst) {
    await call('DEL', last, await call('ADD', last, prevResult));
  }
  let before = observe(world, netns);
  using _files = fuseFilesAndPrograms(fuse);
  for (let failAt = 1; ; failAt++) {
    const outcome = await attempt(fuse, failAt, () => call('ADD', last, prevResult));
    if ('result' in outcome && !fuse.isBlown) {
      const steps = [...fuse.steps];
      await call('CHECK', last, outcome.result);
      await call('DEL', last, outcome.result);
      assertSame(before, observe(world, netns), { ...mayStay, ...staysAfterDel }, 'DEL');
      await afterFailure?.();
      return steps;
    }
    const step = `step ${failAt} (${fuse.steps[failAt - 1]})`;
    // A step may be dispensable; then the ADD is a whole one.
    if ('result' in outcome) {
      await call('DEL', last, outcome.result);
      assertSame(before, observe(world, netns), { ...mayStay, ...staysAfterDel }, `DEL after ${step} failed`);
      await afterFailure?.();
      // The next one is the machine's first pod again.
      if (isFirst) await removeUnused(bridgesOf(plugins));
      if (restore === undefined) continue;
      restore();
      before = observe(world, netns);
    } else {
      assert.match(outcome.message, /injected failure/, `${step} failed with another message`);
      assertSame(before, observe(world, netns), mayStay, `the failure of ${step}`);
      await afterFailure?.();
    }
  }
}

/**
 * Ends an ADD for good at step 1, 2, … as if its process had been killed there, until one goes through. After each a DEL, which is all
 * that a runtime can do, leaves everything as before. Returns the steps of a whole ADD.
 */
export async function killAtEveryStep(options: FailEveryStepOptions): Promise<string[]> {
  const { world, netns, plugins, mayStay = {}, staysAfterDel = {}, afterFailure } = options;
  const fuse = new Fuse();
  const last = plugins.at(-1)!;
  const call = caller(fuse, options);
  const prevResult = await addAll(call, plugins.slice(0, -1));
  await call('DEL', last, await call('ADD', last, prevResult));
  const before = observe(world, netns);
  using _files = fuseFilesAndPrograms(fuse);
  for (let failAt = 1; ; failAt++) {
    const outcome = await attempt(fuse, failAt, () => call('ADD', last, prevResult), { isForGood: true });
    await call('DEL', last, 'result' in outcome ? outcome.result : undefined);
    const what = `DEL after a kill at step ${failAt} (${fuse.steps[failAt - 1]})`;
    assertSame(before, observe(world, netns), { ...mayStay, ...staysAfterDel }, what);
    await afterFailure?.();
    if ('result' in outcome && !fuse.isBlown) return [...fuse.steps];
  }
}

function bridgesOf(plugins: FailEveryStepOptions['plugins']): string[] {
  return plugins.flatMap(({ bridge }) => (typeof bridge === 'string' ? [bridge] : []));
}

type Call = (command: 'ADD' | 'DEL' | 'CHECK', config: object, prevResult?: Result) => Promise<Result>;

function caller(fuse: Fuse, { netns, args = '', ifName = 'eth0' }: FailEveryStepOptions): Call {
  const inProcess = fusedPlugins(fuse);
  const invoker = createInvoker({ pluginDirs: [pluginBinDir], inProcess, ownGroup: true });
  return (command, plugin, prevResult) => {
    const config = { cniVersion: '1.1.0', name: 'testnet', ...plugin } as NetConf;
    const request = { containerID: 'failpod', netns, ifName, args, config, prevResult };
    return invoker.call(config.type, command, request, new AbortController().signal);
  };
}

async function addAll(call: Call, plugins: readonly object[]): Promise<Result | undefined> {
  let result: Result | undefined;
  for (const plugin of plugins) result = await call('ADD', plugin, result);
  return result;
}

async function attempt(
  fuse: Fuse,
  failAt: number,
  act: () => Promise<Result>,
  how: { isForGood?: boolean } = {},
): Promise<{ result: Result } | { message: string }> {
  fuse.arm(failAt, how);
  try {
    return { result: await act() };
  } catch (error) {
    return { message: (error as Error).message };
  } finally {
    fuse.disarm();
  }
}

function assertSame(before: object, after: object, mayStay: Record<string, string>, what: string): void {
  const patterns = Object.keys(mayStay).map((pattern) => new RegExp(pattern));
  const left = differences(after, before).filter((line) => {
    const path = line.slice(1, line.indexOf(': '));
    return !patterns.some((pattern) => pattern.test(path));
  });
  assert.deepEqual(left, [], `left by ${what} (now, and as "reference" before)`);
}
