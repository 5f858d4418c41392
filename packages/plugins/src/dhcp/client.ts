import type { PacketSocket } from '@amphipod/linux';
import { compareIp, type IpAddress, ipFromBytes, ipToBytes } from '@amphipod/netlink';
import { type Destination, everyServer, exchange, type Reply } from './exchange.ts';
import type { Granted } from './lease-result.ts';
import { type DhcpMessage, type DhcpOptions, messageType, OPTION, TYPE } from './message.ts';

/** Who asks a server, and for what. */
export interface DhcpClient {
  /** `<containerID>/<network>/<ifName>`: what the server knows the client by. */
  clientId: string;
  /** Hardware address of the interface, 6 bytes. */
  mac: Buffer;
  provide: readonly { code: number; value: Buffer }[];
  /** Options asked for. */
  request: readonly number[];
  /** Answers are to come by broadcast. */
  broadcast: boolean;
}

/** An address with the server that gave it. */
export interface Grant extends Granted {
  server: Destination;
}

/** A server's refusal of what was asked for. */
export interface Refusal {
  refused: string;
}

export interface AskOptions {
  /** How long to wait for an answer to each message. */
  timeoutMs: number;
  signal: AbortSignal;
}

const MAX_MESSAGE_BYTES = 1500;

/** Gets an address: DISCOVER, OFFER, REQUEST, ACK. Undefined when no server answers. `wanted`: this one or none. */
export async function requestAddress(
  socket: PacketSocket,
  client: DhcpClient,
  { wanted, ...options }: AskOptions & { wanted?: IpAddress },
): Promise<Grant | Refusal | undefined> {
  const hint = wanted === undefined ? [] : [[OPTION.requestedAddress, ipToBytes(wanted)] as const];
  const offer = await exchange(socket, build(client, TYPE.discover, { options: hint }), {
    ...options,
    isWanted: (reply) =>
      messageType(reply) === TYPE.offer &&
      reply.options.get(OPTION.serverId)?.length === 4 &&
      reply.yiaddr !== undefined &&
      (wanted === undefined || compareIp(reply.yiaddr, wanted) === 0),
  });
  if (offer === undefined) return undefined;
  const serverId = offer.message.options.get(OPTION.serverId)!;
  const request = build(client, TYPE.request, {
    xid: offer.message.xid,
    options: [
      [OPTION.requestedAddress, ipToBytes(offer.message.yiaddr!)],
      [OPTION.serverId, serverId],
    ],
  });
  const answer = await exchange(socket, request, {
    ...options,
    isWanted: (reply) => isVerdict(reply) && reply.options.get(OPTION.serverId)?.equals(serverId) === true,
  });
  return answer && verdict(answer);
}

/** Has a lease extended by its server, or with `to` by any. Undefined when there is no answer. */
export async function extendLease(
  socket: PacketSocket,
  client: DhcpClient,
  { grant, to = grant.server, ...options }: AskOptions & { grant: Grant; to?: Destination },
): Promise<Grant | Refusal | undefined> {
  const answer = await exchange(socket, build(client, TYPE.request, { ciaddr: grant.ip }), {
    ...options,
    to,
    isWanted: isVerdict,
  });
  return answer && verdict(answer);
}

/** The message that gives a lease back. There is no answer to it. */
export function buildRelease(client: DhcpClient, { ip, server }: Grant): DhcpMessage {
  return build(client, TYPE.release, { ciaddr: ip, options: [[OPTION.serverId, ipToBytes(server.ip)]] });
}

function build(
  client: DhcpClient,
  type: number,
  {
    xid = Math.floor(Math.random() * 2 ** 32),
    ciaddr,
    options = [],
  }: { xid?: number; ciaddr?: IpAddress; options?: (readonly [number, Buffer])[] },
): DhcpMessage {
  const all = new Map<number, Buffer>([
    [OPTION.messageType, Buffer.from([type])],
    [OPTION.clientId, Buffer.concat([Buffer.from([0]), Buffer.from(client.clientId)])],
    ...options,
    ...client.provide.map(({ code, value }) => [code, value] as const),
  ]);
  if (type !== TYPE.release) {
    const maximum = Buffer.alloc(2);
    maximum.writeUInt16BE(MAX_MESSAGE_BYTES);
    all.set(OPTION.maxMessageSize, maximum);
    if (client.request.length > 0) all.set(OPTION.parameterList, Buffer.from(client.request));
  }
  const broadcast = client.broadcast && ciaddr === undefined;
  return { xid, secs: 0, broadcast, ciaddr, yiaddr: undefined, chaddr: client.mac, options: all };
}

function isVerdict(reply: DhcpMessage): boolean {
  const type = messageType(reply);
  return type === TYPE.nak || (type === TYPE.ack && reply.yiaddr !== undefined);
}

function verdict({ message, from }: Reply): Grant | Refusal {
  if (messageType(message) === TYPE.nak) {
    return { refused: message.options.get(OPTION.message)?.toString() ?? 'no reason given' };
  }
  return { ip: message.yiaddr!, options: message.options, server: serverOf(message.options, from) };
}

function serverOf(options: DhcpOptions, mac: Buffer): Destination {
  const id = options.get(OPTION.serverId);
  return id?.length === 4 ? { ip: ipFromBytes(id), mac } : everyServer;
}
