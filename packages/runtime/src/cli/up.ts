import { defineCommand } from './command.ts';

export const command = defineCommand({
  name: 'up',
  summary: 'Run the container runtime in the foreground',
  operands: '',
  arity: [0, 0],
  options: {
    root: { type: 'string', value: 'DIR', help: 'images, containers and their database (/var/lib/amphipod)' },
    state: { type: 'string', value: 'DIR', help: 'what does not outlive the machine (/run/amphipod)' },
    'cni-conf-dir': { type: 'string', value: 'DIR', help: 'network configuration (/etc/cni/net.d)' },
    'cni-bin-dir': { type: 'string', value: 'DIR[,DIR]', help: 'plugins (/opt/cni/bin, then our own)' },
    'cni-cache-dir': { type: 'string', value: 'DIR', help: 'results of plugins (/var/lib/cni)' },
    config: { type: 'string', value: 'FILE', help: 'configuration file (/etc/amphipod/config.toml)' },
    runtime: { type: 'string', value: 'NAME', help: 'runc or crun' },
    failpoints: { type: 'boolean', help: 'for tests: obey the file STATE/failpoint' },
    'list-failpoints': { type: 'boolean', help: 'print the names of the failpoints' },
    'log-level': { type: 'string', value: 'LEVEL', help: 'debug, info, warn or error' },
  },
  details: `Needs root. SIGTERM and Ctrl-C end the runtime; containers go on and are found again at the next start.

Examples:
  amphipod up
  amphipod up --root /tmp/a/root --state /tmp/a/run --socket /tmp/a/amphipod.sock`,
  async run(_operands, options, { socket }) {
    const { up } = await import('../daemon/up.ts');
    return up({ ...options, socket });
  },
});
