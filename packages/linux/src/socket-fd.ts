import type { Socket } from 'node:net';

/** The descriptor behind a socket of Node.js, which has no public name for it; -1 when there is none (any more). */
export function socketFd(socket: Socket): number {
  return (socket as unknown as { _handle?: { fd?: number } | null })._handle?.fd ?? -1;
}
