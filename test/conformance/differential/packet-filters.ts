// In what order tables and chains were made says nothing; the order of the rules in a chain does.

type Json = Record<string, unknown>;
type Chain = Json & { rules: unknown[] };

/** What `nft -j list ruleset` gives, as tables, their chains with rules, and their sets and maps. */
export function groupNft(items: readonly Json[]): Record<string, Json> {
  const tables: Record<string, Json> = {};
  for (const item of items) {
    const [kind, value] = Object.entries(item)[0] as [string, Json];
    const table = `${value.family} ${kind === 'table' ? value.name : value.table}`;
    tables[table] ??= {};
    if (kind === 'rule') (tables[table][`chain ${value.chain}`] as Chain).rules.push(value.expr);
    else if (kind === 'chain') tables[table][`chain ${value.name}`] = { ...value, rules: [] };
    else tables[table][kind === 'table' ? kind : `${kind} ${value.name}`] = value;
  }
  return tables;
}

/** What `iptables-save` gives, without counters: `{ filter: { FORWARD: ["ACCEPT", "-s 10.0.0.2/32 -j ACCEPT"] } }`. */
export function groupIptables(text: string): Record<string, Record<string, string[]>> {
  const tables: Record<string, Record<string, string[]>> = {};
  let table: Record<string, string[]> = {};
  for (const line of text.split('\n')) {
    const [, name] = /^\*(\S+)/.exec(line) ?? [];
    if (name !== undefined) {
      table = {};
      tables[name] = table;
    }
    const [, declared, policy = ''] = /^:(\S+) (\S+)/.exec(line) ?? [];
    if (declared !== undefined) table[declared] = [policy];
    const [, chain, rule = ''] = /^-A (\S+) ?(.*)$/.exec(line) ?? [];
    if (chain !== undefined) table[chain]?.push(rule);
  }
  return tables;
}
