import { parseDuration } from './parse-duration.ts';
import { runDhcpDaemon } from './run-dhcp-daemon.ts';

const flags = {
  pidfile: 'text',
  hostprefix: 'text',
  socketpath: 'text',
  broadcast: 'boolean',
  timeout: 'duration',
  resendmax: 'duration',
  resendtimeout: 'duration',
} as const;
type Flag = keyof typeof flags;

/** `dhcp daemon`, with the reference's options. Ends on SIGINT and SIGTERM. Gives the exit code. */
export async function daemonCommand(args: readonly string[]): Promise<number> {
  try {
    await runUntilSignal(args);
    return 0;
  } catch (error) {
    console.error((error as Error).message);
    return 1;
  }
}

async function runUntilSignal(args: readonly string[]): Promise<void> {
  const values = parseFlags(args);
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort());
  await runDhcpDaemon({
    ...(values.socketpath && { socketPath: values.socketpath }),
    ...(values.hostprefix && { hostPrefix: values.hostprefix }),
    ...(values.pidfile && { pidFile: values.pidfile }),
    ...(values.broadcast && { broadcast: values.broadcast === 'true' }),
    ...(values.timeout && { timeoutMs: parseDuration(values.timeout) }),
    ...(values.resendmax && { resendMax: parseDuration(values.resendmax) }),
    ...(values.resendtimeout && { resendTimeoutMs: parseDuration(values.resendtimeout) }),
    signal: stop.signal,
  });
}

/** As Go's flag package: `-name value`, `--name=value`; a boolean without a value is true. */
function parseFlags(args: readonly string[]): Partial<Record<Flag, string>> {
  const values: Partial<Record<Flag, string>> = {};
  for (let i = 0; i < args.length; i++) {
    const match = /^--?([a-z]+)(?:=(.*))?$/s.exec(args[i]!);
    const name = match?.[1] as Flag | undefined;
    if (name === undefined || !Object.hasOwn(flags, name)) {
      throw new Error(
        `dhcp daemon: unknown option ${JSON.stringify(args[i])}; known are ${Object.keys(flags).join(', ')}`,
      );
    }
    const value = match![2] ?? (flags[name] === 'boolean' ? 'true' : args[++i]);
    if (value === undefined) throw new Error(`dhcp daemon: option ${name} needs a value`);
    values[name] = value;
  }
  return values;
}
