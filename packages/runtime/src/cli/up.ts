import { defineCommand } from './command.ts';

export const command = defineCommand({
  name: 'up',
  summary: 'Run the container runtime in the foreground',
  operands: '',
  arity: [0, 0],
  options: {
    socket: { type: 'string', value: 'PATH', help: 'where to listen (/run/amphipod/amphipod.sock)' },
    root: { type: 'string', value: 'DIR', help: 'images, containers and their database (/var/lib/amphipod)' },
    state: { type: 'string', value: 'DIR', help: 'what ends with the boot (/run/amphipod)' },
    'cni-conf-dir': { type: 'string', value: 'DIR', help: 'network configuration (/etc/cni/net.d)' },
    'cni-bin-dir': { type: 'string', value: 'DIR[,DIR]', help: 'plugins (/opt/cni/bin, then our own)' },
    'cni-cache-dir': { type: 'string', value: 'DIR', help: 'results of plugins (/var/lib/cni)' },
    'cni-timeout-ms': { type: 'string', value: 'MS', help: 'for each call of a plugin (60000)' },
    runtime: { type: 'string', value: 'NAME', help: 'default OCI runtime: runc or crun (whichever works)' },
    'cdi-spec-dirs': {
      type: 'string',
      value: 'DIR[,DIR]',
      help: 'device specs (/etc/cdi, then /var/run/cdi)',
    },
    'default-ulimits': {
      type: 'string',
      value: 'LIMIT[,LIMIT]',
      help: 'of all containers: NAME=SOFT[:HARD] (nofile=65536:1048576)',
    },
    'seccomp-profile': { type: 'string', value: 'FILE', help: 'what RuntimeDefault means' },
    'stream-address': {
      type: 'string',
      value: 'ADDRESS',
      help: 'where exec, attach and port-forward are served (127.0.0.1)',
    },
    'stream-port': { type: 'string', value: 'PORT', help: 'and on which port (any free one)' },
    'stream-tls-cert': { type: 'string', value: 'FILE', help: 'serve them over TLS: certificate, PEM' },
    'stream-tls-key': { type: 'string', value: 'FILE', help: 'and its key' },
    'insecure-registries': {
      type: 'string',
      value: 'HOST[,HOST]',
      help: 'registries reached over plain HTTP',
    },
    'log-level': { type: 'string', value: 'LEVEL', help: 'debug, info, warn or error' },
    config: { type: 'string', value: 'FILE', help: 'settings in TOML (/etc/amphipod/config.toml)' },
    failpoints: {
      type: 'boolean',
      help: 'let a file in the state directory make a named step fail; for tests',
    },
    'list-failpoints': { type: 'boolean', help: 'print the names of the steps' },
  },
  details: `Needs root. SIGTERM and Ctrl-C end the runtime; containers go on and are found again at the next start. Flags win
over the file, whose keys are the flags with underscores: cni_conf_dir = "/etc/cni/net.d".

Examples:
  amphipod up
  amphipod up --root /tmp/a/root --state /tmp/a/run --socket /tmp/a/amphipod.sock`,
  async run(_operands, options) {
    const { up } = await import('../daemon/up.ts');
    return up(options);
  },
});
