import { appendFileSync } from 'node:fs';
import type { PluginRequest } from '@amphipod/cni';
import { ownerTag } from '../lib/owner.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { type LogLevel, logLevels, type SriovConfig } from './config.ts';

export type Log = (level: LogLevel, message: string) => void;

/** Lines go to the file of the configuration; warnings to the runtime as well. */
export function openLog(request: PluginRequest, config: Pick<SriovConfig, 'logLevel' | 'logFile'>): Log {
  const limit = logLevels.indexOf(config.logLevel);
  return (level, message) => {
    if (logLevels.indexOf(level) > limit) return;
    if (level === 'warning') request.warn?.(`sriov: ${message}`);
    if (config.logFile === undefined) return;
    const line = `${new Date().toISOString()} ${level} ${ownerTag(ownerOf(request))}: ${message}\n`;
    try {
      appendFileSync(config.logFile, line, { mode: 0o600 });
    } catch (error) {
      // A full disk is no reason to leave a pod without its network.
      request.warn?.(`sriov: write ${config.logFile}: ${(error as Error).message}`);
    }
  };
}
