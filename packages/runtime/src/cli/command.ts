import type { Writable } from 'node:stream';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import type { CriClient } from './client.ts';
import { UsageError } from './errors.ts';

/** One option of a command, as node:util's parseArgs takes it, with the texts that `--help` prints. */
export interface OptionSpec {
  type: 'boolean' | 'string';
  short?: string;
  multiple?: boolean;
  /** Stands for the value in the help: `HOST:CONTAINER`. */
  value?: string;
  help: string;
}

export type OptionSpecs = Record<string, OptionSpec>;

type OptionValue<O extends OptionSpec> = O['type'] extends 'boolean'
  ? boolean
  : O['multiple'] extends true
    ? string[]
    : string;

/** The values of given options; those not given are absent. */
export type OptionValues<S extends OptionSpecs> = { [K in keyof S]?: OptionValue<S[K]> };

/** What a command works with; tests hand in their own. */
export interface CommandContext {
  /** Connects on first use. */
  client(): Promise<CriClient>;
  /** Path of the CRI socket. */
  socket: string;
  env: NodeJS.ProcessEnv;
  stdout: Writable & { isTTY?: boolean; columns?: number };
  stderr: Writable & { isTTY?: boolean; columns?: number; rows?: number };
}

export interface CommandSpec<S extends OptionSpecs = OptionSpecs> {
  name: string;
  summary: string;
  /** What follows the options: `IMAGE [CMD...]`. */
  operands: string;
  /** Least and most operands. */
  arity: [min: number, max: number];
  /** Everything after the first operand belongs to another program and is not looked at. */
  passThrough?: boolean;
  /** Works without a runtime and takes no `--socket` for it. */
  isLocal?: boolean;
  /** Paragraphs and examples below the options. */
  details?: string;
  options: S;
  /** Returns the exit code. */
  run(operands: string[], options: OptionValues<S>, context: CommandContext): Promise<number>;
}

/** A command ready to be dispatched, whatever its options are. */
export type Command = CommandSpec<OptionSpecs>;

/** Gives `run` the types of its options; a command file exports the result as `command`. */
export function defineCommand<const S extends OptionSpecs>(spec: CommandSpec<S>): Command {
  return spec as unknown as Command;
}

const socketOption = {
  socket: {
    type: 'string',
    value: 'PATH',
    help: 'CRI socket (AMPHIPOD_SOCKET, CONTAINER_RUNTIME_ENDPOINT; /run/amphipod/amphipod.sock)',
  },
} as const satisfies OptionSpecs;
const helpOption = {
  help: { type: 'boolean', short: 'h', help: 'show this help' },
} as const satisfies OptionSpecs;

/** Options that a command takes beside its own. */
function commonOptions({ isLocal = false }: Command): OptionSpecs {
  return isLocal ? helpOption : { ...socketOption, ...helpOption };
}

/** The option of commands that print a table. */
export const outputOption = {
  output: { type: 'string', short: 'o', value: 'FORMAT', help: 'table (default) or json' },
} as const satisfies OptionSpecs;

/** Splits a command line into options and operands. @throws UsageError */
export function parseCommandLine(command: Command, args: string[]) {
  const options = { ...commonOptions(command), ...command.options };
  const own = command.passThrough ? args.slice(0, firstOperand(options, args)) : args;
  const rest = args.slice(own.length);
  try {
    const { values, positionals } = parseArgs({ args: own, options, allowPositionals: true, strict: true });
    return { options: values as OptionValues<OptionSpecs>, operands: [...positionals, ...rest] };
  } catch (error) {
    throw new UsageError(usageMessage(error));
  }
}

function firstOperand(options: NonNullable<ParseArgsConfig['options']>, args: string[]): number {
  const { tokens } = parseArgs({ args, options, allowPositionals: true, strict: false, tokens: true });
  const first = tokens.find((token) => token.kind === 'positional' || token.kind === 'option-terminator');
  return first?.index ?? args.length;
}

// Node's texts carry advice about '--' that is wrong for most mistakes: keep their first sentence.
function usageMessage(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const sentence = text.split(/\. |\n/)[0] ?? text;
  return sentence.charAt(0).toLowerCase() + sentence.slice(1).replace(/\.$/, '');
}

/** @throws UsageError when there are too few or too many operands */
export function checkArity(command: Command, operands: string[]): void {
  const [min, max] = command.arity;
  if (operands.length >= min && operands.length <= max) return;
  if (max === 0) throw new UsageError(`unexpected argument "${operands[0]}"`);
  if (operands.length < min) throw new UsageError(`arguments missing: expected ${command.operands}`);
  throw new UsageError(`unexpected argument "${operands[max]}": expected ${command.operands}`);
}

/** The text of `amphipod COMMAND --help`. */
export function commandHelp(command: Command): string {
  const options = { ...command.options, ...commonOptions(command) };
  const rows = Object.entries(options).map(([name, option]: [string, OptionSpec]) => {
    const short = option.short === undefined ? '    ' : `-${option.short}, `;
    const value = option.value === undefined ? '' : ` ${option.value}`;
    return [`  ${short}--${name}${value}`, option.help + (option.multiple ? ' (repeatable)' : '')];
  });
  const width = Math.max(...rows.map(([left = '']) => left.length));
  const lines = rows.map(([left = '', right = '']) => `${left.padEnd(width)}  ${right}`);
  const usage = `Usage: amphipod ${command.name} [OPTIONS] ${command.operands}`.trimEnd();
  const details = command.details === undefined ? '' : `\n${command.details.trim()}\n`;
  return `${usage}\n\n${command.summary}\n\nOptions:\n${lines.join('\n')}\n${details}`;
}
