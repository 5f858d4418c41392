import { rmSync, writeFileSync } from 'node:fs';
import { runRuntime } from './run-runtime.ts';
import type { OciRuntime } from './runtimes.ts';
import type { OciResources } from './spec.ts';

/**
 * Changes CPU and memory limits of a running container: `runc update --resources FILE ID`. systemd learns of them this
 * way, and keeps them when it reads its units again. @throws CriError failed-precondition with the runtime's text
 */
export async function updateLimits(
  runtime: OciRuntime,
  containerId: string,
  { limits: { cpu = {}, memory = {} }, file }: { limits: Pick<OciResources, 'cpu' | 'memory'>; file: string },
): Promise<void> {
  writeFileSync(file, JSON.stringify({ cpu, memory }));
  try {
    await runRuntime(runtime, ['update', '--resources', file, containerId]);
  } finally {
    rmSync(file, { force: true });
  }
}
