import { readFileSync } from 'node:fs';
import { type Command, type CommandContext, checkArity, commandHelp, parseCommandLine } from './command.ts';
import { type CommandEntry, type CommandGroup, commands } from './commands.ts';
import { connectionOf } from './connection.ts';
import { CliError, EXIT_OWN_FAILURE, UsageError } from './errors.ts';

type Output = Pick<CommandContext, 'stdout' | 'stderr'>;

/** Runs one command line (without the program's name); returns the exit code. */
export async function dispatch(args: string[], env: NodeJS.ProcessEnv, output: Output): Promise<number> {
  return await dispatchAmong(root, args, { ...output, env });
}

const root: Group = {
  path: 'amphipod',
  usage: 'amphipod [--socket PATH] COMMAND [OPTIONS] [ARG...]',
  text: 'Runs pods and containers over the Container Runtime Interface.',
  commands,
};

/** Commands that are told apart by the next word. */
interface Group {
  /** What stands before that word. */
  path: string;
  usage: string;
  text: string;
  commands: Record<string, CommandEntry | CommandGroup>;
  default?: CommandEntry | undefined;
}

async function dispatchAmong(
  group: Group,
  args: string[],
  context: Output & { env: NodeJS.ProcessEnv },
): Promise<number> {
  const { name, rest, early } = splitGlobal(args);
  if (early === 'version') {
    context.stdout.write(`amphipod ${version()}\n`);
    return 0;
  }
  if (group.default !== undefined && early !== 'help' && (name ?? '-').startsWith('-')) {
    return await runCommand((await group.default.load()).command, args, context);
  }
  if (name === undefined || early === 'help') {
    (early === 'help' ? context.stdout : context.stderr).write(overview(group));
    return early === 'help' ? 0 : EXIT_OWN_FAILURE;
  }
  const entry = Object.hasOwn(group.commands, name) ? group.commands[name] : undefined;
  if (entry === undefined) {
    const words = `${group.path} ${name}`.replace('amphipod ', '');
    context.stderr.write(`amphipod: unknown command "${words}"; see ${group.path} --help\n`);
    return EXIT_OWN_FAILURE;
  }
  if ('load' in entry) return await runCommand((await entry.load()).command, rest, context);
  const path = `${group.path} ${name}`;
  const usage = `${path} COMMAND [OPTIONS] [ARG...]`;
  return await dispatchAmong({ ...entry, path, usage }, rest, context);
}

async function runCommand(
  command: Command,
  args: string[],
  { env, ...output }: Output & { env: NodeJS.ProcessEnv },
): Promise<number> {
  try {
    const { options, operands } = parseCommandLine(command, args);
    if (options.help) {
      output.stdout.write(commandHelp(command));
      return 0;
    }
    checkArity(command, operands);
    using connection = connectionOf(options.socket as string | undefined, env);
    return await command.run(operands, options, { ...output, ...connection, env });
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    const advice = error instanceof UsageError ? `; see amphipod ${command.name} --help` : '';
    const subject = error.isBare ? '' : `amphipod: ${command.name}: `;
    output.stderr.write(`${subject}${error.message}${advice}\n`);
    return error.exitCode;
  }
}

/** Finds the command; `--socket` may stand before it. */
function splitGlobal(args: string[]): { name?: string; rest: string[]; early?: 'help' | 'version' } {
  const before: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === '--help' || arg === '-h') return { rest: [], early: 'help' };
    if (arg === '--version') return { rest: [], early: 'version' };
    if (arg === '--socket') before.push(arg, args[++i] ?? '');
    else if (arg.startsWith('--socket=')) before.push(arg);
    else return { name: arg, rest: [...before, ...args.slice(i + 1)] };
  }
  return { rest: before };
}

function overview({ path, usage, text, commands: entries }: Group): string {
  const lines = Object.entries(entries).map(([name, { summary }]) => `  ${name.padEnd(12)} ${summary}`);
  return `Usage: ${usage}

${text}

Commands:
${lines.join('\n')}

"${path} COMMAND --help" tells more; "amphipod --version" prints the version.
`;
}

/** Read here, and only when asked for: the command line imports nothing of the daemon (scripts/check-imports.ts). */
function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
