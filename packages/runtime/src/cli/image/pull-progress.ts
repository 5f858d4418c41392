import { formatBytes, shortId } from '../output.ts';

/** How far a layer is, as our runtime tells it. */
export interface PullLayer {
  digest: string;
  doneBytes: number;
  totalBytes: number;
  state: string;
}

const stateTexts: Record<string, string> = {
  waiting: 'waiting',
  downloading: 'downloading',
  unpacking: 'unpacking',
  done: 'done',
  exists: 'is here',
};
const stateWidth = 'downloading'.length;
const barWidth = 40;

/**
 * A line for each layer and one for all of them, within a terminal. Where there are more layers than lines, those that are
 * under way come first.
 */
export function progressLines(
  layers: readonly PullLayer[],
  { columns, rows }: { columns: number; rows: number },
): string[] {
  const room = Math.max(1, rows - 2);
  const shown = layers.length <= room ? layers : layers.filter(isUnderWay).slice(0, room);
  return [...shown.map((layer) => layerLine(layer, columns)), totalLine(layers, columns)].map((line) =>
    line.slice(0, columns).trimEnd(),
  );
}

function isUnderWay({ state }: PullLayer): boolean {
  return state === 'downloading' || state === 'unpacking';
}

/** `49ad09ac1c13  downloading  [=======>      ]  3.10 MB of 7.90 MB` */
function layerLine({ digest, doneBytes, totalBytes, state }: PullLayer, columns: number): string {
  const start = `${shortId(digest)}  ${(stateTexts[state] ?? state).padEnd(stateWidth)}`;
  if (state === 'done' || state === 'exists') return `${start}  ${formatBytes(totalBytes)}`;
  if (state === 'waiting') return start;
  const text = `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`;
  return `${start}  ${bar(doneBytes / Math.max(1, totalBytes), columns - start.length - text.length)}${text}`;
}

/** `2 of 5 layers             [=======>      ]  12.5 MB of 40.0 MB` */
function totalLine(layers: readonly PullLayer[], columns: number): string {
  const total = layers.reduce((sum, { totalBytes }) => sum + totalBytes, 0);
  const done = layers.reduce((sum, layer) => sum + doneBytesOf(layer), 0);
  const count = layers.filter(({ state }) => state === 'done' || state === 'exists').length;
  const start = `${count} of ${layers.length} layers`.padEnd(shortWidth + 2 + stateWidth);
  const text = `${formatBytes(done)} of ${formatBytes(total)}`;
  return `${start}  ${bar(done / Math.max(1, total), columns - start.length - text.length)}${text}`;
}

const shortWidth = 12;

/** The bytes of a layer count half as they arrive and half as they are unpacked. */
function doneBytesOf({ state, doneBytes, totalBytes }: PullLayer): number {
  const done = Math.min(doneBytes, totalBytes);
  if (state === 'downloading') return Math.round(done / 2);
  if (state === 'unpacking') return Math.round((totalBytes + done) / 2);
  return state === 'waiting' ? 0 : totalBytes;
}

/** A bar with its brackets and what separates it, nothing where there is no room for one. */
function bar(share: number, room: number): string {
  const width = Math.min(barWidth, room - '  []  '.length);
  if (width < 5) return '';
  const filled = Math.round(Math.min(1, share) * width);
  return `[${`${'='.repeat(filled)}${filled < width ? '>' : ''}`.slice(0, width).padEnd(width)}]  `;
}
