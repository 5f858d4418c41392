import type { Change } from './compare.ts';
import type { Explanation } from './explain-network.ts';

const signs: Record<Change['change'], string> = { new: '+', changed: '~', gone: '-' };

/** For people: what changes on the host, in the pod and in files, and the result. */
export function formatExplanation({ network, file, error, result, changes, notes }: Explanation): string {
  const lines = [`Network ${network}${file === undefined ? '' : ` (${file})`}`];
  const outcome =
    error === undefined ? 'An ADD would change this:' : `An ADD would fail: ${error}\nand leave this:`;
  lines.push(outcome);
  const parts: [string, (change: Change) => boolean][] = [
    ['On the host', ({ where, kind }) => where === 'host' && kind !== 'file'],
    ['In the pod', ({ where, kind }) => where === 'pod' && kind !== 'file'],
    ['Files', ({ kind }) => kind === 'file'],
  ];
  for (const [title, belongs] of parts) {
    const own = changes.filter(belongs);
    if (own.length === 0) continue;
    lines.push('', title, ...own.map(formatChange));
  }
  if (changes.length === 0) lines.push('  nothing');
  if (result !== undefined) lines.push('', 'Result', JSON.stringify(result, undefined, 2));
  if (notes.length > 0) lines.push('', ...notes.map((note) => `Note: ${note}`));
  return `${lines.join('\n')}\n`;
}

/** A rule stands under its chain, and that under its table: there is no need to repeat them. */
function shortText({ kind, text }: Change): string {
  if (kind !== 'nft') return text;
  const [, table, inner = '', line] = /^(table [^,:]+)(?:, ([^:]+))?(?:: (.*))?$/s.exec(text) ?? [];
  if (table === undefined) return text;
  const indent = '  '.repeat((inner === '' ? 0 : 1) + (line === undefined ? 0 : 1));
  return `${indent}${line ?? (inner === '' ? table : inner)}`;
}

function formatChange(item: Change): string {
  const { kind, change, before, exists } = item;
  const was = before === undefined ? '' : `  (was ${before})`;
  return `  ${signs[change]} ${kind.padEnd(8)}${shortText(item)}${was}${exists ? '  (exists already)' : ''}`;
}
