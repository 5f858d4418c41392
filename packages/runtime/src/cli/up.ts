import { settingOptions } from '../daemon/config/setting-options.ts';
import { settings } from '../daemon/config/settings.ts';
import { defineCommand } from './command.ts';

export const command = defineCommand({
  name: 'up',
  summary: 'Run the container runtime in the foreground',
  operands: '',
  arity: [0, 0],
  isLocal: true,
  options: {
    ...settingOptions(settings),
    agent: {
      type: 'boolean',
      help: 'run the network agent, too; its settings are the table [agent] of the file',
    },
    config: {
      type: 'string',
      value: 'FILE',
      help: 'settings in TOML, with drop-ins in FILE.d (/etc/amphipod/config.toml)',
    },
    'list-failpoints': { type: 'boolean', help: 'print the names of the steps' },
  },
  details: `Needs root. SIGTERM and Ctrl-C end the runtime; containers go on and are found again at the next start. SIGHUP, or amphipod
reload, has it read its files again. Flags win over files, whose keys are the flags with underscores: cni_conf_dir = "/etc/cni/net.d".

Examples:
  amphipod up
  amphipod up --agent
  amphipod up --root /tmp/a/root --state /tmp/a/run --socket /tmp/a/amphipod.sock`,
  async run(_operands, options) {
    const { up } = await import('../daemon/up.ts');
    return up(options);
  },
});
