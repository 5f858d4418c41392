import { type DhcpDaemonOptions, parseDuration, runDhcpDaemon } from '@amphipod/plugins';
import { untilSignal, warmThreadPool } from '../../daemon/process.ts';
import { defineCommand, type OptionValues } from '../command.ts';
import { CliError, UsageError } from '../errors.ts';

const options = {
  socketpath: { type: 'string', value: 'PATH', help: 'where to listen (/run/cni/dhcp.sock)' },
  hostprefix: { type: 'string', value: 'DIR', help: "goes before the socket's path and those of namespaces" },
  pidfile: { type: 'string', value: 'PATH', help: 'gets the number of the process' },
  broadcast: { type: 'boolean', help: 'ask servers to answer by broadcast' },
  timeout: { type: 'string', value: 'TIME', help: 'wait for an answer to one message (10s)' },
  resendmax: { type: 'string', value: 'TIME', help: 'longest pause between two tries (62s)' },
  resendtimeout: { type: 'string', value: 'TIME', help: 'how long an ADD tries in all (208s)' },
} as const;

export const command = defineCommand({
  name: 'cni dhcp-daemon',
  summary: 'Get and keep the leases of the dhcp plugin',
  operands: '',
  arity: [0, 0],
  isLocal: true,
  options,
  details: `The dhcp plugin, ours or the reference's, asks this daemon for addresses; it extends their leases as long as the pods run.
The same as "dhcp daemon" of the plugin directory, with the same options. Needs root. Ends on SIGTERM and Ctrl-C; leases stay, and
the next daemon goes on with them.

Example:
  amphipod cni dhcp-daemon --timeout 5s --resendtimeout 1m`,
  async run(_operands, values, { stderr }) {
    await warmThreadPool();
    const stop = new AbortController();
    void untilSignal().then(() => stop.abort());
    try {
      await runDhcpDaemon({
        ...readOptions(values),
        signal: stop.signal,
        log: (line) => stderr.write(`${line}\n`),
      });
      return 0;
    } catch (error) {
      if (error instanceof UsageError) throw error;
      throw new CliError((error as Error).message, { cause: error });
    }
  },
});

function readOptions(values: OptionValues<typeof options>): Omit<DhcpDaemonOptions, 'signal'> {
  const duration = (key: 'timeout' | 'resendmax' | 'resendtimeout') => {
    const text = values[key];
    if (text === undefined) return undefined;
    try {
      return parseDuration(text);
    } catch (error) {
      throw new UsageError(`--${key}: ${(error as Error).message}`);
    }
  };
  const [timeoutMs, resendMax, resendTimeoutMs] = [
    duration('timeout'),
    duration('resendmax'),
    duration('resendtimeout'),
  ];
  return {
    ...(values.socketpath !== undefined && { socketPath: values.socketpath }),
    ...(values.hostprefix !== undefined && { hostPrefix: values.hostprefix }),
    ...(values.pidfile !== undefined && { pidFile: values.pidfile }),
    ...(values.broadcast !== undefined && { broadcast: values.broadcast }),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(resendMax !== undefined && { resendMax }),
    ...(resendTimeoutMs !== undefined && { resendTimeoutMs }),
  };
}
