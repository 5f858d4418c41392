import { run } from './world.ts';

/** Chains that are not built in, and all rules, of a table of both families, without dates and counters. */
export function iptablesRules(
  table: 'nat' | 'filter',
  programs = ['iptables-save', 'ip6tables-save'],
): string[] {
  return programs
    .flatMap((program) => run(program, '-t', table).split('\n'))
    .filter((line) => /^-A|^:(?!(PRE|POST)ROUTING|INPUT|FORWARD|OUTPUT)/.test(line));
}
