import { devicesOf } from '../devices/device-pools.ts';
import { ensureVfs } from '../devices/ensure-vfs.ts';
import { runKubeletPlugin } from '../devices/kubelet-plugin.ts';
import { readDeviceConfig } from '../devices/pool-config.ts';
import { CriError } from '../errors.ts';
import type { Log } from '../log.ts';
import { untilSignal } from './process.ts';

const INTERVAL_MS = 1000;

/** `amphipod device-plugin`: until SIGINT or SIGTERM. @throws CriError for a configuration that cannot be used */
export async function runDevicePlugin({
  file,
  kubeletDir,
  log,
}: {
  file: string;
  kubeletDir: string;
  log: Log;
}): Promise<void> {
  const { pools, vfCounts } = readDeviceConfig(file);
  if (pools.length === 0)
    throw new CriError('failed-precondition', `read devices ${file}: there are no pools in it`);
  ensureVfs(vfCounts, log);
  const stop = new AbortController();
  void untilSignal().then(() => stop.abort());
  await runKubeletPlugin({ pools, devicesOf, kubeletDir, intervalMs: INTERVAL_MS, log, signal: stop.signal });
}
