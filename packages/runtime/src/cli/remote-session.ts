import type { Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { SpdyStream } from '../spdy/stream.ts';
import { CliError, startFailureExitCode } from './errors.ts';
import { LocalTerminal } from './local-terminal.ts';
import { openSpdy } from './spdy-client.ts';

/** What the Exec or Attach asked for, besides its output. */
export interface RemoteSessionOptions {
  stdin: boolean;
  /** A terminal has one output, stdout. */
  stderr: boolean;
  /** Our terminal, where we have one, shows the remote one. */
  tty: boolean;
}

/** v4 is what every server speaks; older ones have no exit codes. */
const protocols = ['v4.channel.k8s.io'];

/**
 * Opens the URL of an Exec or Attach and connects its streams with ours until it ends.
 * @returns the exit code
 * @throws CliError when the command cannot be started, or the connection is lost
 */
export async function remoteSession(
  url: string,
  wants: RemoteSessionOptions,
  { stdout, stderr }: { stdout: Writable; stderr: Writable },
): Promise<number> {
  using terminal = wants.tty ? LocalTerminal.open(process.stdin, process.stdout) : undefined;
  const connection = await openSpdy(url, protocols);
  const open = (streamtype: string) => connection.open({ streamtype });
  const status = readStatus(open('error').end());
  const input = wants.stdin ? open('stdin') : undefined;
  const outputs = [copyOutput(open('stdout'), stdout)];
  if (wants.stderr) outputs.push(copyOutput(open('stderr'), stderr));
  const sizes = wants.tty ? open('resize') : undefined;
  terminal?.follow(({ rows, columns }) =>
    sizes?.write(Buffer.from(JSON.stringify({ Width: columns, Height: rows }))),
  );
  const releaseInput = () => {
    if (input !== undefined) process.stdin.unpipe(input).pause();
  };
  if (input !== undefined) process.stdin.pipe(input.once('close', releaseInput));
  try {
    // containerd ends the connection with the status and no stream on its own: what came before the status is all there is.
    const [end, ...ends] = await Promise.all([status, ...outputs]);
    if (end === undefined && ends.includes('lost')) throw new CliError('connection lost');
    return end === undefined ? 0 : exitCodeOf(end);
  } finally {
    releaseInput();
    connection.close();
    await connection.closed;
  }
}

async function copyOutput(from: SpdyStream, to: Writable): Promise<'whole' | 'lost'> {
  from.end();
  from.pipe(to, { end: false });
  return await endOf(from);
}

interface Status {
  status?: string;
  reason?: string;
  message?: string;
  details?: { causes?: { reason?: string; message?: string }[] };
}

/**
 * Reads the metav1.Status that ends a v4 session, undefined when there is none; other words become its message.
 * @throws CliError when the connection is lost before it came
 */
async function readStatus(stream: Readable): Promise<Status | undefined> {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  const end = await endOf(stream);
  const text = Buffer.concat(chunks).toString('utf8');
  try {
    return JSON.parse(text) as Status;
  } catch {
    if (end === 'lost') throw new CliError('connection lost');
    return text === '' ? undefined : { message: text.trim() };
  }
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

function exitCodeOf(end: Status): number {
  const { status, reason, message = JSON.stringify(end), details } = end;
  if (status === 'Success') return 0;
  const code = details?.causes?.find((cause) => cause.reason === 'ExitCode')?.message;
  if (reason === 'NonZeroExitCode' && code !== undefined) return Number(code);
  throw new CliError(message, { exitCode: startFailureExitCode(message) });
}
