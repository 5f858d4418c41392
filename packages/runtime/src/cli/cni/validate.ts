import { existsSync } from 'node:fs';
import { defineCommand, outputOption } from '../command.ts';
import { CliError } from '../errors.ts';
import { outputFormat, printJson } from '../output.ts';
import { placeOptions, readPlaces } from './network-options.ts';
import { findMistakes } from './validation/find-mistakes.ts';
import { formatMistake } from './validation/mistake.ts';

export const command = defineCommand({
  name: 'cni validate',
  summary: 'Look for mistakes in network configurations',
  operands: '[FILE|DIR...]',
  arity: [0, Number.POSITIVE_INFINITY],
  isLocal: true,
  options: { ...placeOptions, ...outputOption },
  details: `Without an operand it looks at the configuration directory. Every mistake is printed with file, line, column, key,
value and what would be right; exit code 1 when there is an error, 0 with warnings alone. Changes nothing; plugins of others
are asked for their versions.

Examples:
  amphipod cni validate
  amphipod cni validate -o json my-network.conflist`,
  async run(paths, options, { env, stdout }) {
    const format = outputFormat(options.output);
    const { confDir, pluginDirs } = readPlaces(options, env);
    const missing = paths.find((path) => !existsSync(path));
    if (missing !== undefined) throw new CliError(`no such file or directory "${missing}"`);
    const checked = await findMistakes(paths.length > 0 ? paths : [confDir], pluginDirs);
    const mistakes = checked.flatMap((file) => file.mistakes);
    if (format === 'json') printJson(stdout, mistakes);
    else {
      for (const mistake of mistakes) stdout.write(`${formatMistake(mistake)}\n`);
      for (const { file, mistakes: own } of checked) if (own.length === 0) stdout.write(`${file}: fine\n`);
    }
    return mistakes.some(({ severity }) => severity === 'error') ? 1 : 0;
  },
});
