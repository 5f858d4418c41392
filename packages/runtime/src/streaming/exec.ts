import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { readAvailable, resizeTerminal, terminalStream } from '@amphipod/linux';
import { type ExecRequest, execProcess } from '../containers/exec-process.ts';
import { containerPaths } from '../containers/paths.ts';
import type { RuntimeContext } from '../context.ts';
import { runtimeFor } from '../oci/runtimes.ts';
import { type StartedExec, startExec } from '../oci/start-exec.ts';
import type { Container } from '../store/records.ts';
import { containerEnded } from './container-ended.ts';
import { OutputCopy } from './copy-output.ts';
import type { Outcome, RemoteStreams } from './session.ts';

/** A client with a terminal sends its size at once; this is for one that has none. */
const firstSizeMs = 100;
/** What a terminal makes of Ctrl-D: the end of the input. */
const endOfTransmission = Buffer.from([4]);

/**
 * Runs a command in a container for a client. All of its output is handed over when this resolves. A client that goes
 * away takes the command's streams with it; one that reads no more is given up when the container ends.
 * @throws CriError failed-precondition when the command cannot be started
 */
export async function execForClient(
  context: RuntimeContext,
  container: Container,
  { request, streams }: { request: ExecRequest; streams: RemoteStreams },
): Promise<Outcome> {
  // Before the start: a program asks for the size when it begins, and would not hear of one that comes just then.
  const size = request.tty ? await streams.sizes.first(firstSizeMs) : undefined;
  const paths = containerPaths(context.config, container.id);
  const exec = await startExec(runtimeFor(context.runtimes, container.runtimeHandler), container.id, {
    process: execProcess(paths.spec, request),
    directory: paths.bundle,
    streams: {
      stdin: streams.stdin !== undefined,
      stdout: streams.stdout !== undefined,
      stderr: streams.stderr !== undefined,
    },
    nullDevices: context.nullDevices,
    size,
  });
  void containerEnded(context, container, streams.gone).then(() => streams.endWhenStalled());
  const serve = exec.terminal === undefined ? serveWithPipes : serveWithTerminal;
  return { exitCode: await serve(exec, streams) };
}

async function serveWithPipes(exec: StartedExec, streams: RemoteStreams): Promise<number> {
  const outputs = [copyOutput(exec.stdout, streams.stdout), copyOutput(exec.stderr, streams.stderr)];
  const stdin = exec.stdin === undefined ? undefined : writeEnd(exec.stdin);
  if (stdin !== undefined && streams.stdin !== undefined) copyInput(streams.stdin, stdin);
  const exitCode = await exec.exited;
  // What the command has not read, nobody will.
  stdin?.destroy();
  await Promise.all(outputs.map((output) => output?.drained()));
  for (const output of outputs) output?.[Symbol.dispose]();
  return exitCode;
}

function copyOutput(fd: number | undefined, sink: Writable | undefined): OutputCopy | undefined {
  if (fd === undefined || sink === undefined) return undefined;
  return new OutputCopy(new Socket({ fd, readable: true, writable: false }), sink);
}

function writeEnd(fd: number): Socket {
  return new Socket({ fd, readable: false, writable: true });
}

/** Copies the client's input; its end, and its loss, are the end of the command's. */
function copyInput(source: Readable, sink: Writable): void {
  sink.on('error', () => {});
  source.once('close', () => sink.end());
  source.pipe(sink);
  // A command that has closed its input, or has ended: the rest must not hold up what else the client says.
  sink.once('close', () => source.resume());
}

async function serveWithTerminal(exec: StartedExec, streams: RemoteStreams): Promise<number> {
  const master = exec.terminal!;
  const terminal = terminalStream(master);
  let isOpen = true;
  const hangUp = () => {
    terminal.destroy();
    if (isOpen) closeSync(master);
    isOpen = false;
  };
  streams.sizes.listen((size) => {
    if (isOpen) resizeTerminal(master, size);
  });
  streams.gone.addEventListener('abort', hangUp);
  if (streams.gone.aborted) hangUp();
  const output = streams.stdout === undefined ? undefined : new OutputCopy(terminal, streams.stdout);
  // Without a reader a terminal fills up and stops its programs.
  if (output === undefined) terminal.on('error', () => {}).resume();
  streams.stdin?.on('end', () => terminal.write(endOfTransmission));
  streams.stdin?.pipe(terminal, { end: false });
  terminal.once('close', () => streams.stdin?.resume());
  const exitCode = await exec.exited;
  streams.sizes.listen(undefined);
  streams.gone.removeEventListener('abort', hangUp);
  if (isOpen) {
    // Node.js takes a terminal that is hung up for empty; all that was written is still there for who asks.
    terminal.pause();
    // Each piece goes the way of all others, by a 'data' event.
    while (terminal.read() !== null);
    output?.write(readAvailable(master));
  }
  hangUp();
  return exitCode;
}
