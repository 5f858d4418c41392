import type { Socket } from 'node:net';
import { peerHungUp, unsentBytes } from '@amphipod/linux';

/** A client may say nothing for this long, as a shell that is left open. */
const idleTimeoutMs = 4 * 3600 * 1000;
const stallMs = 2000;
const keepAliveMs = 30_000;

/** Sets up a client's socket for a session that may be silent for hours: found out when it is gone, closed when idle. */
export function prepareSocket(socket: Socket): void {
  socket.setNoDelay(true);
  socket.setKeepAlive(true, keepAliveMs);
  socket.setTimeout(idleTimeoutMs, () => socket.destroy());
  socket.on('error', () => {});
}

/** Aborted when the socket is closed. */
export function goneSignal(socket: Socket): AbortSignal {
  const controller = new AbortController();
  if (socket.destroyed) controller.abort();
  socket.once('close', () => controller.abort());
  return controller.signal;
}

/**
 * Returns a function that has a socket destroyed, now or later, when its client has taken nothing for two seconds
 * although there is something for it.
 */
export function stallWatch(socket: Socket): () => void {
  let isWatched = false;
  return () => {
    if (!isWatched && !socket.destroyed) destroyWhenStalled(socket);
    isWatched = true;
  };
}

/**
 * Lets go of a client that has been told all: has the socket destroyed when it is neither closed nor taken from for two
 * seconds. What the kernel has by then is delivered all the same.
 */
export function releaseSocket(socket: Socket): void {
  if (!socket.destroyed) destroyWhenStalled(socket, { isTold: true });
}

function destroyWhenStalled(socket: Socket, { isTold = false } = {}): void {
  let [taken, since] = [-1, performance.now()];
  const timer = setInterval(() => {
    const left = socket.writableLength + unsentBytes(socket);
    const now = socket.bytesWritten - left;
    if ((left === 0 && !isTold) || now !== taken) [taken, since] = [now, performance.now()];
    else if (performance.now() - since >= stallMs) socket.destroy();
  }, stallMs / 8);
  socket.once('close', () => clearInterval(timer));
}

/** Destroys a socket that nobody reads from at the moment when its client hangs up. Ends with the returned function. */
export function watchHangUp(socket: Socket): () => void {
  const timer = setInterval(() => {
    if (peerHungUp(socket)) socket.destroy();
  }, 1000);
  socket.once('close', () => clearInterval(timer));
  return () => clearInterval(timer);
}
