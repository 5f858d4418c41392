import { createSocket } from 'node:dgram';
import { formatIp } from '@amphipod/netlink';
import { buildRelease } from './client.ts';
import { SERVER_PORT } from './datagram.ts';
import { sendMessage } from './exchange.ts';
import type { LeaseRecord } from './lease-record.ts';
import { encodeMessage } from './message.ts';
import { reopenPodLink } from './pod-link.ts';

/** Gives a lease back: from the pod's interface, or when that is gone from this machine, if it has a way to the server. @throws Error */
export async function sendRelease(record: LeaseRecord): Promise<void> {
  const message = buildRelease(record.client, record.grant);
  {
    using link = reopenPodLink({ ...record, mac: record.client.mac });
    if (link !== undefined) {
      sendMessage(link.socket, message, record.grant.server);
      return;
    }
  }
  await using socket = createSocket('udp4');
  await new Promise<void>((resolve, reject) => {
    socket.on('error', reject);
    socket.send(encodeMessage(message), SERVER_PORT, formatIp(record.grant.server.ip), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
}
