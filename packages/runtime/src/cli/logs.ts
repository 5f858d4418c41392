import { ContainerState } from '../gen/api.ts';
import type { CriClient } from './client.ts';
import { defineCommand } from './command.ts';
import { timestampNs } from './cri-log.ts';
import { CliError, isCode, isNotFound, UsageError } from './errors.ts';
import { findContainer } from './find-container.ts';
import { readLog } from './log-file.ts';
import { LogPrinter } from './log-printer.ts';

export const command = defineCommand({
  name: 'logs',
  summary: 'Print what a container wrote to stdout and stderr',
  operands: 'CONTAINER',
  arity: [1, 1],
  options: {
    follow: { type: 'boolean', short: 'f', help: 'go on until the container ends' },
    tail: { type: 'string', short: 'n', value: 'N', help: 'only the last N lines' },
    since: {
      type: 'string',
      value: 'TIME',
      help: 'only lines after a time (RFC 3339) or an age such as 90s, 10m, 2h',
    },
    timestamps: { type: 'boolean', short: 't', help: 'print the time before each line' },
  },
  details: `Reads the log file itself, so it works on the machine of the runtime only.

Examples:
  amphipod logs web
  amphipod logs -f --tail 10 -t web`,
  async run([reference = ''], options, { client, stdout, stderr }) {
    const cri = await client();
    const tail = options.tail === undefined ? undefined : parseCount(options.tail);
    const sinceNs = options.since === undefined ? undefined : parseSince(options.since, Date.now());
    const { container } = await findContainer(cri, reference, { preferRunning: true });
    const path = await logPath(cri, container.id, reference);
    const printer = new LogPrinter({ stdout, stderr, timestamps: options.timestamps ?? false });
    const follow = options.follow ? () => isRunning(cri, container.id) : undefined;
    try {
      for await (const records of readLog(path, {
        ...(tail !== undefined && { tail }),
        ...(follow && { follow }),
      })) {
        printer.print(
          sinceNs === undefined
            ? records
            : records.filter(({ timestamp }) => timestampNs(timestamp) >= sinceNs),
        );
      }
    } catch (error) {
      if (!isCode(error, 'ENOENT', 'EACCES')) throw error;
      throw new CliError(`read the log of "${reference}": ${(error as Error).message}`, { cause: error });
    }
    return 0;
  },
});

async function logPath({ runtime }: CriClient, containerId: string, reference: string): Promise<string> {
  const response = await runtime.containerStatus({ containerId, verbose: false });
  const path = response.status?.logPath;
  if (path) return path;
  throw new CliError(`container "${reference}" has no log: it was created without a log path`);
}

/** False when the container has ended or is gone. */
export async function isRunning({ runtime }: CriClient, containerId: string): Promise<boolean> {
  try {
    const response = await runtime.containerStatus({ containerId, verbose: false });
    const state = response.status?.state;
    return state === ContainerState.CONTAINER_RUNNING || state === ContainerState.CONTAINER_CREATED;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

function parseCount(text: string): number {
  if (!/^\d+$/.test(text)) throw new UsageError(`--tail "${text}" is not a number`);
  return Number(text);
}

/** Nanoseconds since 1970 of `2026-01-31T12:00:00Z` or of an age before `nowMs`. */
export function parseSince(text: string, nowMs: number): bigint {
  const age = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
  if (age !== null) {
    const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[age[2] as 's'];
    return BigInt(Math.round(nowMs - Number(age[1]) * unitMs)) * 1_000_000n;
  }
  try {
    return timestampNs(text);
  } catch (error) {
    throw new UsageError(
      `--since "${text}" is neither a time such as 2026-01-31T12:00:00Z nor an age such as 10m`,
      {
        cause: error,
      },
    );
  }
}
