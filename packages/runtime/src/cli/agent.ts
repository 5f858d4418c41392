import { resolve } from 'node:path';
import type { AgentConfig } from '../config.ts';
import {
  agentConfigProblem,
  agentFields,
  agentSettings,
  defaultAgentConfig,
} from '../daemon/agent/agent-settings.ts';
import { flagOf, flagValue, refusalOf } from '../daemon/config/setting.ts';
import { settingOptions } from '../daemon/config/setting-options.ts';
import { untilSignal, warmThreadPool } from '../daemon/process.ts';
import { createLog } from '../log.ts';
import { defineCommand, type OptionSpec } from './command.ts';
import { CliError, UsageError } from './errors.ts';

const options: Record<string, OptionSpec> = settingOptions(agentSettings);

export const command = defineCommand({
  name: 'agent',
  summary: 'Run the network agent in the foreground',
  operands: '',
  arity: [0, 0],
  isLocal: true,
  options,
  details: `Needs root. Leases this node a subnet of the pods' network and keeps devices, routes and rules so that every pod reaches every pod.
SIGTERM and Ctrl-C end the agent; what is in the kernel stays. amphipod net shows what it does.

Examples:
  amphipod agent --etcd-endpoints http://192.0.2.10:2379 --iface eth0 --ip-masq
  amphipod agent --kubeconfig /etc/amphipod/agent.kubeconfig --iface eth0 --ip-masq
  amphipod agent --net-config /etc/kube-flannel/net-conf.json
  amphipod agent --net-config net-conf.json --serve 192.0.2.1:2379 --serve-cafile ca.pem --serve-certfile a.pem --serve-keyfile a.key`,
  async run(_operands, values, { stderr }) {
    const config = readFlags(values as Record<string, string | boolean | undefined>);
    await warmThreadPool();
    const log = createLog({ level: 'info', format: 'text', write: (line) => stderr.write(line) });
    try {
      const { startNodeAgent } = await import('../daemon/agent/node-agent.ts');
      const signalled = untilSignal();
      await using agent = await startNodeAgent(config, { log, keepsTrying: false });
      await Promise.race([signalled, agent.ended]);
      return 0;
    } catch (error) {
      throw new CliError((error as Error).message, { cause: error });
    }
  },
});

/** @throws UsageError for values that cannot be used */
function readFlags(values: Record<string, string | boolean | undefined>): AgentConfig {
  const given: Partial<Record<keyof AgentConfig, unknown>> = {};
  for (const field of agentFields) {
    const flag = flagOf(field);
    const text = values[flag];
    if (text === undefined) continue;
    const setting = agentSettings[field];
    const isFile = setting.placeholder === 'FILE' || setting.placeholder === 'PATH';
    const value = flagValue(setting, isFile && text !== '' ? resolve(String(text)) : text);
    const why = refusalOf(setting, value);
    if (why !== undefined) throw new UsageError(`--${flag} ${JSON.stringify(text)}: ${why}`);
    given[field] = value;
  }
  const config = { ...defaultAgentConfig(), ...given } as AgentConfig;
  const problem = agentConfigProblem(config, (field) => `--${flagOf(field)}`);
  if (problem !== undefined) throw new UsageError(problem);
  const { etcdEndpoints, kube, kubeconfig, netConfig } = config;
  // Else a node that was told too little would make an overlay of its own.
  if (etcdEndpoints.length === 0 && !kube && kubeconfig === '' && netConfig === '') {
    throw new UsageError('give --etcd-endpoints, --kube, --kubeconfig or --net-config');
  }
  return config;
}
