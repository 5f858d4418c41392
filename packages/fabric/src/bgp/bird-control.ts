import { connect, type Socket } from 'node:net';
import { FabricError } from '../errors.ts';

const ANSWER_MS = 10_000;
const LINE = /^(\d{4})([ -])(.*)$/;

/** A line of BIRD's answer, with the code that says what it is about. */
export interface BirdLine {
  readonly code: number;
  readonly text: string;
}

interface AskOptions {
  /** Path of BIRD's control socket. */
  socketPath: string;
  signal?: AbortSignal | undefined;
  /** How long to wait for the whole answer; 10 s unless given. */
  timeoutMs?: number;
}

/**
 * Gives BIRD a command over its control socket, as birdc does.
 * @returns the lines of the answer, the last of them with a code below 1000
 * @throws FabricError `unavailable` when BIRD does not answer, `bird-error` when it refuses
 */
export async function askBird(
  command: string,
  { socketPath, signal, timeoutMs = ANSWER_MS }: AskOptions,
): Promise<BirdLine[]> {
  const what = `ask bird for ${JSON.stringify(command)}`;
  const socket = connect(socketPath);
  const stop = AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(signal === undefined ? [] : [signal])]);
  stop.addEventListener('abort', () => socket.destroy(new Error('no answer')), { once: true });
  let lines: BirdLine[];
  try {
    lines = await readAnswer(socket, `${command}\n`);
  } catch (error) {
    signal?.throwIfAborted();
    throw new FabricError('unavailable', `${what}: ${(error as Error).message}`, { cause: error });
  } finally {
    socket.destroy();
  }
  const last = lines.at(-1)!;
  if (last.code < 8000) return lines;
  throw new FabricError('bird-error', `${what}: ${last.text}`);
}

/** Reads BIRD's greeting, sends a command, reads until the line that ends its answer. */
async function readAnswer(socket: Socket, command: string): Promise<BirdLine[]> {
  socket.setEncoding('utf8');
  let isGreeted = false;
  let rest = '';
  const lines: BirdLine[] = [];
  for await (const chunk of socket as AsyncIterable<string>) {
    const parts = `${rest}${chunk}`.split('\n');
    rest = parts.pop()!;
    for (const part of parts) {
      const [, code, sign, text] = LINE.exec(part) ?? [];
      if (code === undefined) {
        // Continues under the code of the line before.
        lines.push({ code: lines.at(-1)?.code ?? 0, text: part.slice(1) });
        continue;
      }
      if (!isGreeted) {
        isGreeted = true;
        socket.write(command);
        continue;
      }
      lines.push({ code: Number(code), text: text! });
      if (sign === ' ') return lines;
    }
  }
  throw new Error('the connection was closed');
}

/** Resolves when BIRD goes away, or is not there at all; it stays pending while BIRD lives, also while it is frozen. */
export function untilBirdGone(socketPath: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    const end = () => {
      signal.removeEventListener('abort', end);
      socket.destroy();
      resolve();
    };
    socket.on('error', end);
    socket.on('close', end);
    socket.resume();
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });
}
