import type { Item, ItemKind } from './snapshot.ts';

export interface Change {
  where: 'host' | 'pod';
  kind: ItemKind;
  change: 'new' | 'changed' | 'gone';
  /** As it is afterwards; for what is gone, as it was. */
  text: string;
  /** For what changed. */
  before?: string;
  /** The machine has it already, so that nothing new appears. */
  exists?: boolean;
}

/** What is new, changed or gone between two looks at one place. */
export function compareItems(
  where: Change['where'],
  before: readonly Item[],
  after: readonly Item[],
): Change[] {
  const changes: Change[] = [];
  const idOf = ({ kind, name }: Item) => `${kind} ${name}`;
  const old = new Map(before.map((item) => [idOf(item), item]));
  for (const item of after) {
    const was = old.get(idOf(item));
    old.delete(idOf(item));
    const { kind, text } = item;
    if (was === undefined) changes.push({ where, kind, change: 'new', text });
    else if (was.text !== text) changes.push({ where, kind, change: 'changed', text, before: was.text });
  }
  for (const { kind, text } of old.values()) changes.push({ where, kind, change: 'gone', text });
  return changes;
}

const linkSetting = /^(net\.ipv[46]\.(?:conf|neigh))\.([^.]+)\.(.+)$/;

/** Settings that changed; those of a new link are compared with what a link has by default. */
export function compareSysctls(
  where: Change['where'],
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): Change[] {
  const changes: Change[] = [];
  for (const [key, value] of after) {
    const [, family, , setting] = linkSetting.exec(key) ?? [];
    const was =
      before.get(key) ?? (family === undefined ? undefined : after.get(`${family}.default.${setting}`));
    if (was === undefined || was === value || isKernelsOwn(key)) continue;
    changes.push({ where, kind: 'sysctl', change: 'changed', text: `${key} = ${value}`, before: was });
  }
  return changes;
}

/** Counters, and what the kernel sets by itself for each link. */
function isKernelsOwn(key: string): boolean {
  return /\.(stable_secret|mtu|nf_conntrack_count|base_reachable_time|retrans_time|hop_limit)$|netfilter\.nf_conntrack_(count|buckets)$|\.fs\.|addr_gen_mode$/.test(
    key,
  );
}
