/** Statistics and output that all benchmarks share. Times are in milliseconds. */

export interface Summary {
  count: number;
  min: number;
  p50: number;
  p90: number;
  max: number;
}

/** A line of the table: one operation, measured with our program and with a peer in the same run. */
export interface Row {
  name: string;
  ours: Summary;
  peer?: Summary;
}

/** Sorted percentiles (nearest rank) of samples in milliseconds. @throws RangeError without samples */
export function summarize(samplesMs: readonly number[]): Summary {
  if (samplesMs.length === 0) throw new RangeError('summarize samples: there are none');
  const sorted = samplesMs.toSorted((a, b) => a - b);
  const rank = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
  return { count: sorted.length, min: sorted[0]!, p50: rank(0.5), p90: rank(0.9), max: sorted.at(-1)! };
}

/** ours / peer of the medians; below 1 is better than the peer. */
export function ratioOf({ ours, peer }: Row): number | undefined {
  return peer === undefined ? undefined : ours.p50 / peer.p50;
}

/** Prints a line for each row, times in ms, and the ratio of the medians to the peer's. */
export function printTable(rows: readonly Row[], write: (line: string) => void = console.log): void {
  const header = ['', 'ours p50', 'p90', 'max', 'peer p50', 'p90', 'max', 'ratio', 'n'];
  const cells = rows.map((row) => [
    row.name,
    ...columns(row.ours),
    ...(row.peer === undefined ? ['-', '-', '-'] : columns(row.peer)),
    ratioOf(row)?.toFixed(3) ?? '-',
    `${row.ours.count}`,
  ]);
  const widths = header.map((title, i) => Math.max(title.length, ...cells.map((line) => line[i]!.length)));
  for (const line of [header, ...cells]) {
    write(line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  '));
  }
}

function columns({ p50, p90, max }: Summary): string[] {
  return [p50, p90, max].map((value) => value.toFixed(2));
}

/** Prints the JSON object that a benchmark ends with, on one line: medians in ms and their ratio, by row name. */
export function printResult(bench: string, peer: string, rows: readonly Row[], more: object = {}): void {
  const entries = rows.map((row) => {
    const ratio = ratioOf(row);
    return [
      row.name,
      {
        ours: round(row.ours.p50),
        ...(row.peer !== undefined && { peer: round(row.peer.p50) }),
        ...(ratio !== undefined && { ratio: round(ratio) }),
      },
    ];
  });
  console.log(JSON.stringify({ bench, peer, rows: { ...Object.fromEntries(entries), ...more } }));
}

function round(value: number): number {
  return Number(value.toPrecision(4));
}
