import { defineCommand } from '../command.ts';

export const command = defineCommand({
  name: 'config default',
  summary: 'Print a configuration file with every setting and its default',
  operands: '',
  arity: [0, 0],
  isLocal: true,
  options: {},
  details: `Examples:
  amphipod config default > /etc/amphipod/config.toml`,
  async run(_operands, _options, { stdout }) {
    const { defaultConfig } = await import('../../daemon/config/default-config.ts');
    stdout.write(defaultConfig());
    return 0;
  },
});
