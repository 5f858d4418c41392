import { fields, flagOf, settings } from '../daemon/config/settings.ts';
import { defineCommand, type OptionSpec } from './command.ts';

/** A flag for each setting. */
const settingOptions: Record<string, OptionSpec> = Object.fromEntries(
  fields
    .filter((field) => settings[field].isFileOnly === undefined)
    .map((field) => {
      const { placeholder, help, default: value } = settings[field];
      const shown = Array.isArray(value) ? value.join(',') : String(value);
      return [
        flagOf(field),
        placeholder === undefined
          ? { type: 'boolean', help }
          : { type: 'string', value: placeholder, help: shown === '' ? help : `${help} (${shown})` },
      ];
    }),
);

export const command = defineCommand({
  name: 'up',
  summary: 'Run the container runtime in the foreground',
  operands: '',
  arity: [0, 0],
  isLocal: true,
  options: {
    ...settingOptions,
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
  amphipod up --root /tmp/a/root --state /tmp/a/run --socket /tmp/a/amphipod.sock`,
  async run(_operands, options) {
    const { up } = await import('../daemon/up.ts');
    return up(options);
  },
});
