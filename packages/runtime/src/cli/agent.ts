import { mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import {
  type AgentOptions,
  type Datastore,
  openEmbeddedDatastore,
  openEtcdDatastore,
  parseNetworkConfig,
  runAgent,
} from '@amphipod/fabric';
import { untilSignal, warmThreadPool } from '../daemon/process.ts';
import { createLog } from '../log.ts';
import { defineCommand, type OptionValues } from './command.ts';
import { CliError, UsageError } from './errors.ts';

const options = {
  'etcd-endpoints': { type: 'string', value: 'URL,...', help: 'keep leases in this etcd cluster' },
  'etcd-prefix': { type: 'string', value: 'KEY', help: 'where in etcd (/coreos.com/network)' },
  'etcd-cafile': { type: 'string', value: 'FILE', help: 'authorities for https endpoints, PEM' },
  'etcd-certfile': { type: 'string', value: 'FILE', help: 'our certificate, PEM' },
  'etcd-keyfile': { type: 'string', value: 'FILE', help: 'its key, PEM' },
  'net-config': {
    type: 'string',
    value: 'FILE',
    help: 'network configuration, instead of the key "config" in etcd',
  },
  database: {
    type: 'string',
    value: 'FILE',
    help: 'leases of a single node without etcd (/var/lib/amphipod/agent.db)',
  },
  iface: { type: 'string', value: 'NAME', help: "link to the other nodes (the default route's)" },
  'subnet-file': { type: 'string', value: 'FILE', help: 'what plugins read (/run/flannel/subnet.env)' },
  'ip-masq': { type: 'boolean', help: 'masquerade what pods send out of their network' },
} as const;

type Values = OptionValues<typeof options>;

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
  amphipod agent --net-config /etc/kube-flannel/net-conf.json`,
  async run(_operands, values, { stderr }) {
    await warmThreadPool();
    const stop = new AbortController();
    void untilSignal().then(() => stop.abort());
    const log = createLog({ level: 'info', format: 'text', write: (line) => stderr.write(line) });
    try {
      await using store = openStore(values);
      await runAgent({ ...agentOptions(values), store, log, signal: stop.signal });
      return 0;
    } catch (error) {
      if (error instanceof UsageError) throw error;
      throw new CliError((error as Error).message, { cause: error });
    }
  },
});

function openStore(values: Values): Datastore {
  const endpoints = values['etcd-endpoints'];
  if (endpoints === undefined) {
    if (values['net-config'] === undefined) throw new UsageError('give --etcd-endpoints or --net-config');
    const file = values.database ?? '/var/lib/amphipod/agent.db';
    mkdirSync(dirname(file), { recursive: true });
    return openEmbeddedDatastore(file);
  }
  if (values.database !== undefined) throw new UsageError('--database: not with --etcd-endpoints');
  const [ca, cert, key] = [values['etcd-cafile'], values['etcd-certfile'], values['etcd-keyfile']];
  if ((cert === undefined) !== (key === undefined)) {
    throw new UsageError('--etcd-certfile and --etcd-keyfile: give both or neither');
  }
  return openEtcdDatastore({
    endpoints: endpoints.split(','),
    tls: {
      ...(ca !== undefined && { ca: readFileSync(ca) }),
      ...(cert !== undefined && { cert: readFileSync(cert) }),
      ...(key !== undefined && { key: readFileSync(key) }),
    },
  });
}

function agentOptions(values: Values): Omit<AgentOptions, 'store' | 'log' | 'signal'> {
  const file = values['net-config'];
  return {
    prefix: (values['etcd-prefix'] ?? '/coreos.com/network').replace(/\/+$/, ''),
    subnetFile: values['subnet-file'] ?? '/run/flannel/subnet.env',
    masquerade: values['ip-masq'] ?? false,
    ...(file !== undefined && { config: parseNetworkConfig(readFileSync(file, 'utf8'), file) }),
    ...(values.iface !== undefined && { interfaceName: values.iface }),
  };
}
