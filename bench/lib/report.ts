import type { Row } from './samples.ts';

export interface Summary {
  p50: number;
  p90: number;
  max: number;
}

/** Percentiles of some values (nearest rank); undefined of none. */
export function summarize(values: readonly number[]): Summary | undefined {
  if (values.length === 0) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  const rank = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
  return { p50: rank(0.5), p90: rank(0.9), max: sorted.at(-1)! };
}

/** The table that people read. */
export function printTable(rows: readonly Row[], { peer }: { peer: string }): void {
  const header = ['', '', 'ours p50', 'p90', 'max', `${peer} p50`, 'p90', 'max', 'ratio', 'samples'];
  const lines = rows.map((row) => {
    const ours = summarize(row.ours);
    const theirs = summarize(row.peer);
    const cells = [ours, theirs].flatMap((side) => [side?.p50, side?.p90, side?.max].map(figure));
    return [row.name, row.unit, ...cells, figure(ratioOf(row)), String(row.ours.length || row.peer.length)];
  });
  const table = [header, ...lines];
  const widths = header.map((_, column) => Math.max(...table.map((line) => line[column]!.length)));
  for (const line of table) {
    const cells = line.map((cell, i) => (i < 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)));
    process.stdout.write(`${cells.join('  ').trimEnd()}\n`);
  }
}

/**
 * The line that programs read, always the last one: `{"bench":…,"peer":…,"rows":{NAME:{"ours":…,"peer":…,"ratio":…}}}`,
 * medians in the row's unit; ratio is ours divided by the peer's.
 */
export function printResult(bench: string, { peer, rows }: { peer: string; rows: readonly Row[] }): void {
  const result = rows.map((row) => [
    row.name,
    {
      ours: rounded(summarize(row.ours)?.p50),
      peer: rounded(summarize(row.peer)?.p50),
      ratio: rounded(ratioOf(row)),
      unit: row.unit,
    },
  ]);
  process.stdout.write(`${JSON.stringify({ bench, peer, rows: Object.fromEntries(result) })}\n`);
}

function ratioOf({ ours, peer }: Row): number | undefined {
  const mine = summarize(ours);
  const theirs = summarize(peer);
  return mine && theirs && mine.p50 / theirs.p50;
}

function rounded(value: number | undefined): number | undefined {
  return value === undefined ? undefined : Number(value.toPrecision(4));
}

function figure(value: number | undefined): string {
  if (value === undefined) return '-';
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
