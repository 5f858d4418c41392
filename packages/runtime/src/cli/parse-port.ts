import { isIP } from 'node:net';
import { type PortMapping, Protocol } from '../gen/api.ts';
import { UsageError } from './errors.ts';

const protocols: Record<string, Protocol> = { tcp: Protocol.TCP, udp: Protocol.UDP, sctp: Protocol.SCTP };

/**
 * Reads the value of `-p`: `HOST:CONTAINER`, `HOSTIP:HOST:CONTAINER` or `[IPV6]:HOST:CONTAINER`, with an optional
 * `/tcp`, `/udp` or `/sctp`. @throws UsageError
 */
export function parsePort(text: string): PortMapping {
  const match = /^(?:(\[[^\]]*\]|[^:]*):)?(\d+):(\d+)(?:\/(\w+))?$/.exec(text);
  if (match === null) {
    throw new UsageError(`port "${text}": expected HOST:CONTAINER[/tcp|udp|sctp] or HOSTIP:HOST:CONTAINER`);
  }
  const [, address = '', host = '', container = '', protocolName = 'tcp'] = match;
  const hostIp = address.replace(/^\[|\]$/g, '');
  if (hostIp !== '' && isIP(hostIp) === 0)
    throw new UsageError(`port "${text}": "${hostIp}" is not an address`);
  const protocol = protocols[protocolName.toLowerCase()];
  if (protocol === undefined) throw new UsageError(`port "${text}": unknown protocol "${protocolName}"`);
  return {
    protocol,
    hostIp,
    hostPort: portNumber(host, text),
    containerPort: portNumber(container, text),
  };
}

function portNumber(digits: string, text: string): number {
  const port = Number(digits);
  if (port < 1 || port > 65_535) throw new UsageError(`port "${text}": ${digits} is not between 1 and 65535`);
  return port;
}

/** `8080:80/tcp`, `127.0.0.1:8080:80/tcp`, `[::1]:8080:80/tcp`. */
export function formatPort({ hostIp, hostPort, containerPort, protocol }: PortMapping): string {
  const name = Object.keys(protocols).find((key) => protocols[key] === protocol) ?? String(protocol);
  const address = hostIp === '' ? '' : `${isIP(hostIp) === 6 ? `[${hostIp}]` : hostIp}:`;
  return `${address}${hostPort}:${containerPort}/${name}`;
}
