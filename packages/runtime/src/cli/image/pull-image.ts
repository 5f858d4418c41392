import type { AuthConfig } from '../../gen/api.ts';
import type { CriClient } from '../client.ts';
import type { CommandContext } from '../command.ts';
import { imageSpec } from '../image-spec.ts';
import { formatBytes, shortId } from '../output.ts';
import { type PullLayer, progressLines } from './pull-progress.ts';

/** One pull that is under way, from Status(verbose).info.pulls of our own runtime. */
interface PullStatus {
  reference: string;
  layers: PullLayer[];
}

/** `bars`: lines that change in their places; `plain`: a line for each layer that is there; `json`: one for each change. */
export type ProgressMode = 'bars' | 'plain' | 'json' | 'none';

export interface PullOptions {
  reference: string;
  auth?: AuthConfig;
  stderr: CommandContext['stderr'];
  progress: ProgressMode;
}

const pollMs = 150;

/** Pulls an image, showing how far it is; returns its id. */
export async function pullImage(client: CriClient, options: PullOptions): Promise<string> {
  const { reference, auth, stderr, progress } = options;
  const startMs = performance.now();
  const pull = client.images.pullImage(
    { image: imageSpec(reference), auth, sandboxConfig: undefined },
    { timeoutMs: 0 },
  );
  const layers = progress === 'none' ? [] : await showProgress(client, options, pull);
  // The error is the caller's; above it only ended the progress.
  const { imageRef } = await pull;
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  const total = layers.reduce((sum, { totalBytes }) => sum + totalBytes, 0);
  const summary = layers.length === 0 ? '' : `, ${layers.length} layers, ${formatBytes(total)}`;
  if (progress === 'json')
    stderr.write(`${JSON.stringify({ reference, id: imageRef, seconds: Number(seconds) })}\n`);
  else if (progress !== 'none')
    stderr.write(`pulled ${reference} in ${seconds} s (${shortId(imageRef)}${summary})\n`);
  return imageRef;
}

/** Shows the layers until the pull ends, as they are then. */
async function showProgress(
  client: CriClient,
  { reference, stderr, progress }: PullOptions,
  pull: Promise<unknown>,
): Promise<PullLayer[]> {
  const view = { bars: barsView, plain: plainView, json: jsonView }[progress as 'bars' | 'plain' | 'json'](
    reference,
    stderr,
  );
  const ended = pull.then(
    () => 'pulled' as const,
    () => 'failed' as const,
  );
  let layers: PullLayer[] = [];
  let told = true;
  for (;;) {
    const outcome = await Promise.race([ended, delay(pollMs)]);
    if (outcome !== undefined) {
      if (outcome === 'pulled') layers = layers.map((layer) => ({ ...layer, ...finished(layer) }));
      view.show(layers);
      view.end();
      return layers;
    }
    const status = told ? await readPull(client, reference) : undefined;
    // Another CRI server does not tell; then there is the time only.
    if (status === 'unknown') told = false;
    if (typeof status === 'object') layers = status.layers;
    view.show(layers);
  }
}

function finished({ state, totalBytes }: PullLayer): Pick<PullLayer, 'state' | 'doneBytes'> {
  return { state: state === 'exists' ? state : 'done', doneBytes: totalBytes };
}

interface View {
  show(layers: PullLayer[]): void;
  end(): void;
}

function barsView(reference: string, stderr: CommandContext['stderr']): View {
  const startMs = performance.now();
  let height = 0;
  return {
    show(layers) {
      const size = { columns: stderr.columns || 80, rows: stderr.rows || 24 };
      const waited = `pulling ${reference}  ${((performance.now() - startMs) / 1000).toFixed(0)} s`;
      const lines = layers.length === 0 ? [waited] : progressLines(layers, size);
      // Up to the first line of the last time, then over all of them.
      stderr.write(
        `${height > 0 ? `\x1b[${height}A` : ''}\r${lines.map((line) => `\x1b[K${line}\n`).join('')}\x1b[J`,
      );
      height = lines.length;
    },
    end() {
      // The time that was waited is of no use any more.
      if (height === 1) stderr.write('\x1b[1A\r\x1b[J');
    },
  };
}

function plainView(reference: string, stderr: CommandContext['stderr']): View {
  const told = new Set<string>();
  stderr.write(`pulling ${reference}\n`);
  return {
    show(layers) {
      for (const { digest, state, totalBytes } of layers) {
        if ((state !== 'done' && state !== 'exists') || told.has(digest)) continue;
        told.add(digest);
        stderr.write(
          `${shortId(digest)}  ${state === 'done' ? 'pulled' : 'is here'}  ${formatBytes(totalBytes)}\n`,
        );
      }
    },
    end() {},
  };
}

function jsonView(reference: string, stderr: CommandContext['stderr']): View {
  const told = new Map<string, string>();
  return {
    show(layers) {
      for (const layer of layers) {
        const line = JSON.stringify({ reference, ...layer });
        if (told.get(layer.digest) !== line) stderr.write(`${line}\n`);
        told.set(layer.digest, line);
      }
    },
    end() {},
  };
}

function delay(ms: number): Promise<undefined> {
  return new Promise((resolve) => setTimeout(() => resolve(undefined), ms));
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
