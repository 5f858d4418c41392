import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { run } from '../../test/cri/support/program.ts';
import { timed } from './samples.ts';

/** A layer as a registry has it. */
export interface FloorLayer {
  url: string;
  compression: 'gzip' | 'zstd';
}

/**
 * What standard tools need for the same layers: `curl | gzip -d | tar -x`, as many at a time as there are cores, each layer into a
 * directory of its own, then a sync. Nothing is checked, and the compressed layers are not kept. What it writes stays.
 */
export async function pullFloor(dir: string, layers: readonly FloorLayer[]): Promise<number> {
  mkdirSync(dir);
  await run(['sync', '-f', dir]);
  const jobs = layers.map(
    ({ url, compression }, i) =>
      `mkdir ${i} && curl -sS ${url} | ${compression} -dc | tar -x --numeric-owner -C ${i}`,
  );
  const all = `printf '%s\\0' "$@" | xargs -0 -n 1 -P ${availableParallelism()} sh -ec; sync -f .`;
  return (await timed(() => run(['sh', '-ec', all, 'sh', ...jobs], { cwd: dir }))).ms;
}
