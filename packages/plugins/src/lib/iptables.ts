import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { CniError } from '@amphipod/cni';
import { isCode } from '@amphipod/linux';
import type { IpFamily } from '@amphipod/netlink';
import { type ProgramEnd, runProgram } from './run-program.ts';

type IptablesTable = 'nat' | 'filter';

/** A table of one family: `iptables -t nat`, `ip6tables -t filter`. */
export interface IptablesRef {
  family: IpFamily;
  table: IptablesTable;
}

/** Chains of a table with their rules, as `iptables-save` writes them: `-s 10.0.0.2/32 -j CNI-1234`. */
export type SavedChains = Map<string, string[]>;

const UPDATE_TRIES = 5;
/** Seconds to wait for the lock of legacy iptables. */
const LOCK_WAIT = 60;
/** Of a chain's name. */
const CHAIN_NAME_CHARS = 28;
/** Of a comment: XT_MAX_COMMENT_LEN with its end. */
const COMMENT_CHARS = 255;

/**
 * Runs commands (`-N CHAIN`, `-A CHAIN …`, `-C CHAIN …`) in one go: all of them or none. False when one of them was refused,
 * as `-C` is when there is no such rule. @throws CniError when iptables is not installed
 */
export async function tryIptables(ref: IptablesRef, commands: readonly string[]): Promise<boolean> {
  return (await restore(ref, commands)).exitCode === 0;
}

/**
 * Reads the table and runs the commands that `plan` makes of it, all of them or none; again when somebody else was quicker.
 * @throws CniError with iptables' own words when a command is refused time and again
 */
export async function updateIptables(
  ref: IptablesRef,
  plan: (saved: SavedChains) => readonly string[],
): Promise<void> {
  for (let tries = 1; ; tries++) {
    const commands = plan(await saveIptables(ref));
    if (commands.length === 0) return;
    const end = await restore(ref, commands);
    if (end.exitCode === 0) return;
    if (tries === UPDATE_TRIES) throw refusal(ref, commands, end);
  }
}

function refusal(ref: IptablesRef, commands: readonly string[], { exitCode, stderr }: ProgramEnd): CniError {
  const line = Number(/line:? (\d+)/.exec(stderr)?.[1] ?? 0);
  // The first line names the table.
  const at = commands[line - 2] === undefined ? '' : ` at ${commands[line - 2]}`;
  return new CniError('internal', `change ${describe(ref)}${at}: ${stderr.trim().split('\n')[0] ?? ''}`, {
    details: `exit code ${exitCode}`,
  });
}

/** `iptables-save -t TABLE`; empty when the kernel has no such table. @throws CniError */
export async function saveIptables(ref: IptablesRef): Promise<SavedChains> {
  const { exitCode, stdout, stderr } = await runFamily(ref.family, 'save', ['-t', ref.table]);
  const chains: SavedChains = new Map();
  if (exitCode !== 0) {
    if (/does not exist|can't initialize/i.test(stderr)) return chains;
    throw new CniError('internal', `read ${describe(ref)}: ${stderr.trim()}`);
  }
  for (const line of stdout.split('\n')) {
    const [, declared] = /^:(\S+)/.exec(line) ?? [];
    if (declared !== undefined) chains.set(declared, []);
    const [, chain = '', rule] = /^-A (\S+) ?(.*)$/.exec(line) ?? [];
    if (rule !== undefined) chains.get(chain)?.push(rule);
  }
  return chains;
}

/** For STATUS. @throws CniError plugin-not-available when iptables cannot be run */
export async function requireIptables(): Promise<void> {
  try {
    await saveIptables({ family: 4, table: 'nat' });
  } catch (cause) {
    throw new CniError('plugin-not-available', (cause as Error).message, { cause });
  }
}

function describe({ family, table }: IptablesRef): string {
  return `${family === 4 ? 'iptables' : 'ip6tables'} table ${table}`;
}

async function restore({ family, table }: IptablesRef, commands: readonly string[]): Promise<ProgramEnd> {
  const refused = commands.find((command) => /[\n\0]/.test(command));
  if (refused !== undefined) {
    throw new CniError('invalid-network-config', `iptables rule ${JSON.stringify(refused)} has a line break`);
  }
  const script = `*${table}\n${commands.join('\n')}\nCOMMIT\n`;
  return await runFamily(family, 'restore', ['--noflush', `--wait=${LOCK_WAIT}`], script);
}

async function runFamily(
  family: IpFamily,
  what: 'save' | 'restore',
  args: readonly string[],
  stdin?: string,
): Promise<ProgramEnd> {
  const program = `${family === 4 ? 'iptables' : 'ip6tables'}-${what}`;
  const end = await runProgram(program, args, stdin);
  if (end !== undefined) return end;
  throw new CniError('internal', `run ${program}: not found`, {
    details: 'the configuration asks for iptables; install the Debian package "iptables"',
  });
}

/** An argument with everything in it literal. */
export function quoteIptables(argument: string): string {
  return /^[\w.,:/!@%=+-]+$/.test(argument) ? argument : `"${argument.replaceAll(/["\\]/g, '\\$&')}"`;
}

/** `-m comment --comment "…"`; what is too long is cut, as by the reference. */
export function iptablesComment(comment: string): string {
  return `-m comment --comment ${quoteIptables(comment.slice(0, COMMENT_CHARS))}`;
}

/** The container that a rule's comment names: `PREFIXname: "NETWORK" id: "CONTAINER"`; undefined for other networks and rules. */
export function containerInComment(rule: string, network: string, prefix = ''): string | undefined {
  const start = `--comment "${prefix}name: \\"${network}\\" id: \\"`;
  const at = rule.indexOf(start);
  return at < 0 ? undefined : /^[\w.-]+/.exec(rule.slice(at + start.length))?.[0];
}

/** `CNI-DN-1a2b…`: the reference's name of a container's own chain in a network. */
export function iptablesChainName(network: string, containerID: string, prefix = ''): string {
  return `CNI-${prefix}${hash('sha512', network + containerID)}`.slice(0, CHAIN_NAME_CHARS);
}

/** Whether the kernel has this table of legacy iptables, which nftables knows nothing of. */
export function hasLegacyTable({ family, table }: IptablesRef): boolean {
  try {
    const names = readFileSync(`/proc/net/${family === 4 ? 'ip' : 'ip6'}_tables_names`, 'utf8');
    return names.split('\n').includes(table);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return false;
    throw error;
  }
}
