import { setTimeout as sleep } from 'node:timers/promises';
import type { CriClient } from './client.ts';
import { defineCommand } from './command.ts';
import { CliError } from './errors.ts';

/** Of `daemon` in the verbose answer of Status (daemon/reload.ts). */
interface DaemonInfo {
  pid: number;
  startedAt: string;
  lastReload?: { at: string; changed: string[]; needsRestart: string[]; error?: string };
}

const WAIT_MS = 5000;
const STEP_MS = 20;

export const command = defineCommand({
  name: 'reload',
  summary: 'Have the running daemon read its configuration again',
  operands: '',
  arity: [0, 0],
  options: {},
  details: `The same as SIGHUP, but says what came of it: what changed, what needs a restart, or the mistake, with which nothing
changes. Exits with 1 after a mistake.`,
  async run(_operands, _options, { client, stdout, stderr }) {
    const connection = await client();
    const before = await daemonInfo(connection);
    process.kill(before.pid, 'SIGHUP');
    const { changed, needsRestart, error } = await nextReload(connection, before);
    if (error !== undefined) {
      stderr.write(`${error}\nnothing was changed\n`);
      return 1;
    }
    stdout.write(changed.length === 0 ? 'nothing to change\n' : `changed: ${changed.join(', ')}\n`);
    if (needsRestart.length > 0) stdout.write(`at the next start: ${needsRestart.join(', ')}\n`);
    return 0;
  },
});

async function daemonInfo({ runtime }: CriClient): Promise<DaemonInfo> {
  const { info } = await runtime.status({ verbose: true });
  if (info.daemon === undefined) throw new CliError('this runtime is not amphipod: it does not say its pid');
  return JSON.parse(info.daemon) as DaemonInfo;
}

async function nextReload(
  client: CriClient,
  before: DaemonInfo,
): Promise<NonNullable<DaemonInfo['lastReload']>> {
  for (let waitedMs = 0; waitedMs < WAIT_MS; waitedMs += STEP_MS) {
    const { lastReload } = await daemonInfo(client);
    if (lastReload !== undefined && lastReload.at !== before.lastReload?.at) return lastReload;
    await sleep(STEP_MS);
  }
  throw new CliError(
    `the daemon, pid ${before.pid}, has not read its configuration within ${WAIT_MS / 1000} s`,
  );
}
