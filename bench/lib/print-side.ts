import { type Row as ReportRow, summarize } from '../report.ts';
import type { Row, Side } from './samples.ts';

/** The rows as the common report takes them; a row that one side lacks is left out. */
export function reportRows(rows: readonly Row[], naming?: 'with units'): ReportRow[] {
  return rows
    .filter(({ ours, peer }) => ours.length > 0 && peer.length > 0)
    .map(({ name, unit, ours, peer }) => ({
      name: naming === undefined || unit === 'ms' ? name : `${name} (${unit})`,
      ours: summarize(ours),
      peer: summarize(peer),
    }));
}

/** Prints the figures of one side alone, and as the last line the same as JSON. */
export function printSide(bench: string, rows: readonly Row[], side: Side): void {
  const measured = rows.filter((row) => row[side].length > 0);
  const figures = measured.map((row) => {
    const { p50, p90, max } = summarize(row[side]);
    const text = [p50, p90, max].map((value) => value.toFixed(2).padStart(9)).join('');
    console.log(`${row.name.padEnd(22)}${text}  ${row.unit}`);
    return [row.name, { p50, p90, max }];
  });
  console.log(JSON.stringify({ bench, subject: side, rows: Object.fromEntries(figures) }));
}
