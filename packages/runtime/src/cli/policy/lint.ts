import { defineCommand, outputOption } from '../command.ts';
import { outputFormat, printJson } from '../output.ts';
import { loadWorld, worldOptions } from './load-world.ts';

export const command = defineCommand({
  name: 'policy lint',
  summary: 'Look for rules that are probably not meant',
  operands: '',
  arity: [0, 0],
  options: { ...worldOptions, ...outputOption },
  details: `Names documents that cannot be used, rules that can never match, selectors that match no pod, rules that allow everything,
and what is not enforced. Exits with 1 when there is anything.

Examples:
  amphipod policy lint --policy-dir ./policies --offline`,
  async run(_operands, values, context) {
    const format = outputFormat(values.output);
    const { world, problems } = await loadWorld(values, context);
    const { lint } = await import('@amphipod/fabric/policy');
    const findings = lint(world);
    if (format === 'json') {
      printJson(context.stdout, { problems: problems.map(({ message }) => message), findings });
    } else {
      for (const { message } of problems) context.stdout.write(`${message}\n`);
      for (const { file, document, resource, path, message } of findings) {
        const place = [resource, path].filter((part) => part !== '').join(' ');
        context.stdout.write(`${file} document ${document}: ${place}: ${message}\n`);
      }
    }
    return problems.length + findings.length === 0 ? 0 : 1;
  },
});
