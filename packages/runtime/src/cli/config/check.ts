import { errorText } from '../../errors.ts';
import { defineCommand, outputOption } from '../command.ts';
import { outputFormat, printJson } from '../output.ts';

export const command = defineCommand({
  name: 'config check',
  summary: 'Look for mistakes in the configuration of the runtime',
  operands: '',
  arity: [0, 0],
  isLocal: true,
  options: {
    config: {
      type: 'string',
      value: 'FILE',
      help: 'the file (/etc/amphipod/config.toml), with its drop-ins',
    },
    ...outputOption,
  },
  details: `Reads what amphipod up would read: the file and FILE.d/*.toml. Exits with 1 after a mistake, which is named with file,
line, key and value. Prints each setting that is not the default and the file that it comes from.

Examples:
  amphipod config check
  amphipod config check --config ./config.toml -o json`,
  async run(_operands, { config: file, output }, { stdout, stderr }) {
    const format = outputFormat(output);
    const { readDaemonConfig } = await import('../../daemon/config/read-config.ts');
    const { keyOf } = await import('../../daemon/config/setting.ts');
    const { fields } = await import('../../daemon/config/settings.ts');
    try {
      const { config, sources, files } = readDaemonConfig({ config: file });
      const changed = fields
        .filter((field) => sources[field] !== undefined)
        .map((field) => ({ key: keyOf(field), value: config[field], source: sources[field] }));
      if (format === 'json') printJson(stdout, { files, settings: changed });
      else {
        for (const { key, value, source } of changed)
          stdout.write(`${key} = ${JSON.stringify(value)}  (${source})\n`);
        stdout.write(
          files.length === 0 ? 'no configuration file: all defaults\n' : `${files.join(', ')}: ok\n`,
        );
      }
      return 0;
    } catch (error) {
      if (format === 'json') printJson(stdout, { error: errorText(error) });
      else stderr.write(`${errorText(error)}\n`);
      return 1;
    }
  },
});
