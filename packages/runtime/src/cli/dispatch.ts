import { readFileSync } from 'node:fs';
import { type Command, type CommandContext, checkArity, commandHelp, parseCommandLine } from './command.ts';
import { commands } from './commands.ts';
import { connectionOf } from './connection.ts';
import { CliError, UsageError } from './errors.ts';

type Output = Pick<CommandContext, 'stdout' | 'stderr'>;

/** Runs one command line (without the program's name); returns the exit code. */
export async function dispatch(args: string[], env: NodeJS.ProcessEnv, output: Output): Promise<number> {
  const { name, rest, early } = splitGlobal(args);
  if (early === 'version') {
    output.stdout.write(`amphipod ${version()}\n`);
    return 0;
  }
  if (name === undefined || early === 'help') {
    (early === 'help' ? output.stdout : output.stderr).write(overview());
    return early === 'help' ? 0 : 125;
  }
  const entry = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (entry === undefined) {
    output.stderr.write(`amphipod: unknown command "${name}"; see amphipod --help\n`);
    return 125;
  }
  return runCommand((await entry.load()).command, rest, { ...output, env });
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
    return await command.run(operands, options, { ...output, ...connection });
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    const advice = error instanceof UsageError ? `; see amphipod ${command.name} --help` : '';
    output.stderr.write(`amphipod: ${command.name}: ${error.message}${advice}\n`);
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

function overview(): string {
  const lines = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(12)} ${summary}`);
  return `Usage: amphipod [--socket PATH] COMMAND [OPTIONS] [ARG...]

Runs pods and containers over the Container Runtime Interface.

Commands:
${lines.join('\n')}

"amphipod COMMAND --help" tells more; "amphipod --version" prints the version.
`;
}

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
