import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { isCode } from '@amphipod/linux';
import { formatIp, type IpAddress } from '@amphipod/netlink';

const WAIT_MS = 400;

/** What a UDP port says: nothing, which is the best that can be; that nobody listens; or why the datagram did not leave. */
export type PortOutcome = { result: 'silent' } | { result: 'closed' } | { result: 'not-sent'; code: string };

/** Sends an empty datagram to a port. VXLAN and WireGuard never answer it. */
export async function probePort(to: IpAddress, port: number, source: IpAddress): Promise<PortOutcome> {
  const socket = createSocket(to.family === 4 ? 'udp4' : 'udp6');
  const stop = new AbortController();
  try {
    socket.bind({ address: formatIp(source), port: 0 });
    await once(socket, 'listening');
    socket.connect(port, formatIp(to));
    await once(socket, 'connect');
    // The refusal of one datagram comes with what is done next.
    const failed = once(socket, 'error', { signal: stop.signal }).then(([error]) => Promise.reject(error));
    const done = Promise.race([failed, delay(WAIT_MS, undefined, { signal: stop.signal })]);
    // Nobody waits for it when sending fails.
    done.catch(() => {});
    // Without a callback a refusal of this machine would not be told.
    await new Promise<void>((resolve, reject) =>
      socket.send('', (error) => (error === null ? resolve() : reject(error))),
    );
    await done;
    return { result: 'silent' };
  } catch (error) {
    if (isCode(error, 'ECONNREFUSED')) return { result: 'closed' };
    return { result: 'not-sent', code: String((error as NodeJS.ErrnoException).code) };
  } finally {
    stop.abort();
    socket.close();
  }
}
