import { closeSync, constants, openSync, writeSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { connectSeqpacket, isCode, type TerminalSize } from '@amphipod/linux';
import { containerPaths } from '../containers/paths.ts';
import type { RuntimeContext } from '../context.ts';
import { CriError } from '../errors.ts';
import type { Container } from '../store/records.ts';
import { containerEnded } from './container-ended.ts';
import type { Outcome, RemoteStreams } from './session.ts';

/** First byte of what conmon sends on its attach socket. */
const conmonPipe = { stdout: 2, stderr: 3 } as const;
/** Of what is sent to conmon; it takes 32 KiB a packet. */
const inputBytes = 16 * 1024;

/**
 * Connects a client to the streams of a running container, through the socket of its conmon. Ends with the container or
 * the client; several clients may be attached, each hears everything.
 * @throws CriError failed-precondition when the container has no monitor
 */
export async function attachClient(
  context: RuntimeContext,
  container: Container,
  streams: RemoteStreams,
): Promise<Outcome> {
  const paths = containerPaths(context.config, container.id);
  let monitor: Socket;
  try {
    monitor = connectSeqpacket(paths.attach);
  } catch (cause) {
    throw new CriError('failed-precondition', `attach to ${container.id}: its monitor does not answer`, {
      cause,
    });
  }
  monitor.on('error', () => {});
  const ended = new Promise<void>((resolve) => {
    monitor.once('end', resolve).once('close', () => resolve());
  });
  const leave = () => monitor.destroy();
  streams.gone.addEventListener('abort', leave);
  if (streams.gone.aborted) leave();
  streams.sizes.listen((size) => resize(paths.control, size));
  const { size } = streams.sizes;
  if (container.config.tty && size !== undefined) resize(paths.control, size);
  void containerEnded(context, container, streams.gone).then(() => streams.endWhenStalled());
  copyOutput(monitor, streams);
  if (streams.stdin !== undefined) copyInput(streams.stdin, monitor);
  await ended;
  streams.gone.removeEventListener('abort', leave);
  monitor.destroy();
  streams.stdin?.resume();
  return { exitCode: 0 };
}

function copyOutput(monitor: Socket, { stdout, stderr, endWhenStalled }: RemoteStreams): void {
  const goOn = () => {
    if (!stdout?.writableNeedDrain && !stderr?.writableNeedDrain) monitor.resume();
  };
  for (const sink of [stdout, stderr]) sink?.on('drain', goOn).on('close', goOn);
  monitor.on('data', (packet: Buffer) => {
    const sink = packet[0] === conmonPipe.stderr ? stderr : stdout;
    if (sink === undefined || sink.destroyed || sink.write(packet.subarray(1))) return;
    monitor.pause();
    // conmon waits for who is attached, and the container for conmon.
    endWhenStalled();
  });
}

/** Copies the client's input packet by packet; its end is handed on, and what it means is the container's `stdin_once`. */
function copyInput(source: Readable, monitor: Socket): void {
  const feed = async () => {
    for await (const chunk of source.iterator({ destroyOnReturn: false })) {
      for (let rest = chunk as Buffer; rest.length > 0; rest = rest.subarray(inputBytes)) {
        if (monitor.destroyed) return;
        await new Promise<void>((resolve) => {
          monitor.write(rest.subarray(0, inputBytes), () => resolve());
        });
      }
    }
    monitor.end();
  };
  // The client went away: its connection ends the session.
  feed().catch(() => {});
}

/** conmon's order to set the size of the container's terminal (conmon(8), ctl fifo: message type 1). */
function resize(control: string, { rows, columns }: TerminalSize): void {
  let fd: number;
  try {
    // Never waits: without a reader there is no conmon any more.
    fd = openSync(control, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (isCode(error, 'ENXIO', 'ENOENT')) return;
    throw error;
  }
  try {
    writeSync(fd, `1 ${rows} ${columns}\n`);
  } finally {
    closeSync(fd);
  }
}
