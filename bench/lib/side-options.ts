import { parseArgs } from 'node:util';
import type { Side } from './samples.ts';

/** What every benchmark of two sides is told. */
export interface SideOptions {
  /** Of each row. */
  count: number;
  only: Set<string>;
  sides: Side[];
  /** For the Node.js of our daemon. */
  nodeFlags: string[];
}

/** Lines of a help: the options that every such benchmark has. */
export const sideOptionsHelp = `  --only ROW[,ROW…]   measure only these
  --subject ours|peer measure one side alone
  --cpu-prof DIR      write CPU profiles of our daemon into DIR`;

/**
 * Reads the command line.
 * @param known rows that there are
 * @param counted name of the option that says how often, and its default
 * @throws Error that names the option
 */
export function parseSideOptions(
  known: readonly string[],
  counted: { option: string; count: number },
): SideOptions | 'help' {
  const { values } = parseArgs({
    options: {
      [counted.option]: { type: 'string', default: String(counted.count) },
      only: { type: 'string' },
      subject: { type: 'string' },
      'cpu-prof': { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) return 'help';
  const text = (option: string) => values[option] as string | undefined;
  const count = Number(text(counted.option));
  if (!Number.isInteger(count) || count < 1)
    throw new Error(`--${counted.option} ${text(counted.option)}: must be 1 or more`);
  const only = text('only')?.split(',') ?? known;
  const unknown = only.find((row) => !known.includes(row));
  if (unknown !== undefined) throw new Error(`--only ${unknown}: no such row; known are ${known.join(', ')}`);
  const subject = text('subject');
  if (subject !== undefined && subject !== 'ours' && subject !== 'peer') {
    throw new Error(`--subject ${subject}: must be "ours" or "peer"`);
  }
  const dir = text('cpu-prof');
  return {
    count,
    only: new Set(only),
    sides: subject === undefined ? ['ours', 'peer'] : [subject],
    nodeFlags: dir === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${dir}`],
  };
}
