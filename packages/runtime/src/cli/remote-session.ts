import type { Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { SpdyStream } from '../spdy/stream.ts';
import { CliError, startFailureExitCode } from './errors.ts';
import type { LocalTerminal } from './local-terminal.ts';
import { openSpdy } from './spdy-client.ts';

export interface RemoteSessionOptions {
  stdin?: Readable | undefined;
  stdout: Writable;
  /** Absent with a terminal, which has one output. */
  stderr?: Writable | undefined;
  /** Follows the size of our terminal, where the remote one is to. */
  terminal?: LocalTerminal | undefined;
  tty: boolean;
}

/** v4 is what every server speaks; older ones have no exit codes. */
const protocols = ['v4.channel.k8s.io'];

/**
 * Opens the URL of an Exec or Attach and connects its streams with ours until it ends.
 * @returns the exit code
 * @throws CliError when the command cannot be started, or the connection is lost
 */
export async function remoteSession(url: string, options: RemoteSessionOptions): Promise<number> {
  const { connection } = await openSpdy(url, protocols);
  const { stdin, stdout, stderr, terminal, tty } = options;
  const open = (streamtype: string) => connection.open({ streamtype });
  const errors = open('error');
  const status = statusOf(errors.end());
  const input = stdin && open('stdin');
  const outputs = [
    copyOutput(open('stdout'), stdout),
    ...(stderr ? [copyOutput(open('stderr'), stderr)] : []),
  ];
  const sizes = tty ? open('resize') : undefined;
  terminal?.follow(({ rows, columns }) =>
    sizes?.write(Buffer.from(JSON.stringify({ Width: columns, Height: rows }))),
  );
  if (stdin !== undefined && input !== undefined) {
    stdin.pipe(input);
    input.once('close', () => stdin.unpipe(input).pause());
  }
  try {
    // containerd ends the connection with the status and no stream on its own: what came before the status is all there is.
    const [text, ...ends] = await Promise.all([status, ...outputs]);
    if (text === '' && ends.includes('lost')) throw new CliError('connection lost');
    return exitCodeOf(text);
  } finally {
    if (stdin !== undefined && input !== undefined) stdin.unpipe(input).pause();
    connection.close();
    await connection.closed;
  }
}

async function copyOutput(from: SpdyStream, to: Writable): Promise<'whole' | 'lost'> {
  from.end();
  from.pipe(to, { end: false });
  return await endOf(from);
}

/** @throws CliError when the connection is lost before a status came */
async function statusOf(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  const end = await endOf(stream);
  const text = Buffer.concat(chunks).toString('utf8');
  if (end === 'lost' && !isJson(text)) throw new CliError('connection lost');
  return text;
}

/** How the remote side ended a stream: by saying so, or with the connection. */
async function endOf(stream: Readable): Promise<'whole' | 'lost'> {
  try {
    await finished(stream, { writable: false });
    return 'whole';
  } catch {
    return 'lost';
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

interface Status {
  status?: string;
  reason?: string;
  message?: string;
  details?: { causes?: { reason?: string; message?: string }[] };
}

/** Reads the metav1.Status that ends a v4 session. */
function exitCodeOf(text: string): number {
  if (text === '') return 0;
  let status: Status;
  try {
    status = JSON.parse(text) as Status;
  } catch {
    throw new CliError(text.trim());
  }
  if (status.status === 'Success') return 0;
  const code = status.details?.causes?.find(({ reason }) => reason === 'ExitCode')?.message;
  if (status.reason === 'NonZeroExitCode' && code !== undefined) return Number(code);
  const message = status.message ?? text;
  throw new CliError(message, { exitCode: startFailureExitCode(message) });
}
