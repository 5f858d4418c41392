import { type Cidr, cidrOf, networkOf, tryParseCidr, tryParseIp } from '@amphipod/netlink';
import { type Fields, policyError } from './fields.ts';
import type { PortMatch } from './resources.ts';

export const MAX_PORT = 65_535;
/** Protocols that have ports, by their names in Kubernetes. */
export const portProtocols = { TCP: 6, UDP: 17, SCTP: 132 } as const;
// RFC 6335: IANA_SVC_NAME as Kubernetes checks it.
const PORT_NAME = /^(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*$/;

/** The protocol of a port: TCP unless given. */
export function readPortProtocol(fields: Fields, key = 'protocol'): number {
  const names = Object.keys(portProtocols) as (keyof typeof portProtocols)[];
  return portProtocols[fields.word(key, names) ?? 'TCP'];
}

export function isPortName(text: string): boolean {
  return PORT_NAME.test(text);
}

/** A port's number as a range of one, or its name, as IntOrString has them; undefined when absent. */
export function readPort(fields: Fields, key: string): PortMatch | undefined {
  const value = fields.stringOrNumber(key);
  if (value === undefined) return undefined;
  if (typeof value === 'number') {
    const port = fields.integer(key, 1, MAX_PORT)!;
    return { first: port, last: port };
  }
  if (!isPortName(value)) throw fields.refusal(key, 'must be a number from 1 to 65535 or the name of a port');
  return { name: value };
}

/** A network; host bits are cleared. */
export function readCidr(fields: Fields, key: string): Cidr | undefined {
  const text = fields.string(key);
  if (text === undefined) return undefined;
  const cidr = tryParseCidr(text);
  if (cidr === undefined) throw fields.refusal(key, 'must be a network such as 10.0.0.0/8 or fd00::/8');
  return networkOf(cidr);
}

/** A list of networks; a plain address is a network of one where `allowsAddresses`. */
export function readCidrs(
  fields: Fields,
  key: string,
  { allowsAddresses = false }: { allowsAddresses?: boolean } = {},
): Cidr[] | undefined {
  return fields.strings(key)?.map((text, index) => {
    const ip = allowsAddresses ? tryParseIp(text) : undefined;
    const cidr = ip === undefined ? tryParseCidr(text) : cidrOf(ip);
    if (cidr !== undefined) return networkOf(cidr);
    const path = `${fields.pathOf(key)}[${index}]`;
    throw policyError(fields.place, 'must be a network such as 10.0.0.0/8 or fd00::/8', {
      path,
      value: text,
    });
  });
}
