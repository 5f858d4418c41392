import { type AgentOptions, runAgent } from '@amphipod/fabric';
import { untilSignal, warmThreadPool } from '../daemon/process.ts';
import { createLog } from '../log.ts';
import { leaseOptions, openLeases } from './agent-leases.ts';
import { defineCommand, type OptionValues } from './command.ts';
import { CliError, UsageError } from './errors.ts';

const options = {
  ...leaseOptions,
  iface: { type: 'string', value: 'NAME', help: "link to the other nodes (the default route's)" },
  'subnet-file': { type: 'string', value: 'FILE', help: 'what plugins read (/run/flannel/subnet.env)' },
  'ip-masq': { type: 'boolean', help: 'masquerade what pods send out of their network' },
} as const;

export const command = defineCommand({
  name: 'agent',
  summary: 'Run the network agent in the foreground',
  operands: '',
  arity: [0, 0],
  isLocal: true,
  options,
  details: `Needs root. Leases this node a subnet of the pods' network and keeps devices, routes and rules so that every pod reaches every pod.
SIGTERM and Ctrl-C end the agent; what is in the kernel stays.

Examples:
  amphipod agent --etcd-endpoints http://192.0.2.10:2379 --iface eth0 --ip-masq
  amphipod agent --kubeconfig /etc/amphipod/agent.kubeconfig --iface eth0 --ip-masq
  amphipod agent --net-config /etc/kube-flannel/net-conf.json`,
  async run(_operands, values, { env, stderr }) {
    await warmThreadPool();
    const stop = new AbortController();
    void untilSignal().then(() => stop.abort());
    const log = createLog({ level: 'info', format: 'text', write: (line) => stderr.write(line) });
    try {
      await using leases = openLeases(values, { env, log });
      await runAgent({ ...agentOptions(values), ...leases, log, signal: stop.signal });
      return 0;
    } catch (error) {
      if (error instanceof UsageError) throw error;
      throw new CliError((error as Error).message, { cause: error });
    }
  },
});

function agentOptions(
  values: OptionValues<typeof options>,
): Pick<AgentOptions, 'subnetFile' | 'masquerade' | 'interfaceName'> {
  return {
    subnetFile: values['subnet-file'] ?? '/run/flannel/subnet.env',
    masquerade: values['ip-masq'] ?? false,
    ...(values.iface !== undefined && { interfaceName: values.iface }),
  };
}
