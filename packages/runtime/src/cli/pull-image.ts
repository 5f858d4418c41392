import type { AuthConfig } from '../gen/api.ts';
import type { CriClient } from './client.ts';
import type { CommandContext } from './command.ts';
import { imageSpec } from './image-spec.ts';
import { formatBytes, shortId } from './output.ts';

/** One pull that is under way, from Status(verbose).info.pulls of our own runtime. */
interface PullStatus {
  reference: string;
  layers: { digest: string; doneBytes: number; totalBytes: number; state: string }[];
}

export interface PullOptions {
  reference: string;
  auth?: AuthConfig;
  stderr: CommandContext['stderr'];
  /** Print nothing but errors. */
  quiet?: boolean;
}

const pollMs = 150;

/** Pulls an image, showing how far it is; returns its id. */
export async function pullImage(client: CriClient, options: PullOptions): Promise<string> {
  const { reference, auth, stderr, quiet } = options;
  const startMs = performance.now();
  const pull = client.images.pullImage(
    { image: imageSpec(reference), auth, sandboxConfig: undefined },
    { timeoutMs: 0 },
  );
  const progress = quiet ? undefined : showProgress(client, options, pull);
  // The error is the caller's; here it only ends the progress.
  await progress;
  const { imageRef } = await pull;
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  if (!quiet) stderr.write(`pulled ${reference} in ${seconds} s (${shortId(imageRef)})\n`);
  return imageRef;
}

async function showProgress(client: CriClient, options: PullOptions, pull: Promise<unknown>): Promise<void> {
  const { stderr, reference } = options;
  if (!stderr.isTTY) {
    stderr.write(`pulling ${reference}\n`);
    return;
  }
  const startMs = performance.now();
  const ended = pull.then(
    () => true,
    () => true,
  );
  let told = true;
  while (!(await Promise.race([ended, delay(pollMs)]))) {
    const status = told ? await readPull(client, reference) : undefined;
    // Another CRI server does not tell; then there is the time only.
    if (status === 'unknown') told = false;
    const line = typeof status === 'object' ? progressLine(status, stderr.columns || 80) : '';
    stderr.write(
      `\r\x1b[K${line || `pulling ${reference}  ${((performance.now() - startMs) / 1000).toFixed(0)} s`}`,
    );
  }
  stderr.write('\r\x1b[K');
}

function delay(ms: number): Promise<false> {
  return new Promise((resolve) => setTimeout(resolve, ms, false));
}

async function readPull(
  { runtime }: CriClient,
  reference: string,
): Promise<PullStatus | 'unknown' | undefined> {
  try {
    const { info } = await runtime.status({ verbose: true });
    if (info.pulls === undefined) return 'unknown';
    const pulls = JSON.parse(info.pulls) as PullStatus[];
    // The runtime may write the reference in full: docker.io/library/x:latest for x.
    return (
      pulls.find((pull) => pull.reference === reference) ??
      pulls.find((pull) => pull.reference.includes(reference))
    );
  } catch {
    return undefined;
  }
}

/** `downloading  [=======>      ]  3.10 MB of 7.90 MB  2/5 layers`, within `columns`. */
export function progressLine({ layers }: PullStatus, columns: number): string {
  const total = layers.reduce((sum, layer) => sum + layer.totalBytes, 0);
  if (total === 0) return '';
  // The bytes of a layer are counted twice, first as they arrive and then as they are unpacked.
  const isDownloading = layers.some(({ state }) => state === 'waiting' || state === 'downloading');
  const done = layers.reduce((sum, layer) => {
    const isWhole = isDownloading && layer.state === 'unpacking';
    return sum + (isWhole ? layer.totalBytes : Math.min(layer.doneBytes, layer.totalBytes));
  }, 0);
  const finished = layers.filter(({ state }) => state === 'done' || state === 'exists').length;
  const title = isDownloading ? 'downloading' : 'unpacking  ';
  const text = `${formatBytes(done)} of ${formatBytes(total)}  ${finished}/${layers.length} layers`;
  const width = Math.max(0, Math.min(40, columns - title.length - text.length - 7));
  const filled = Math.round((done / total) * width);
  const bar = `${'='.repeat(filled)}${filled < width ? '>' : ''}`.slice(0, width).padEnd(width);
  return `${title}  [${bar}]  ${text}`;
}
