import { type IpFamily, isMac, tryParseCidr, tryParseIp } from '@amphipod/netlink';
import { parseSelectorOrGlobal } from '../selector/parse-selector.ts';
import { goDurationMs } from './go-duration.ts';
import { refusal } from './place.ts';
import { integer, type Schema, text } from './schema.ts';

const NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const MAX_NAME = 253;
const AS_DOT = /^(\d+)\.(\d+)$/;
const MAX_AS = 2 ** 32 - 1;
const MAX_AS_HALF = 2 ** 16 - 1;
const COMMUNITY = /^\d+:\d+(:\d+)?$/;
const HOST_PORT = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/;
const MAX_PORT = 65_535;
const INTERFACE = /^[a-zA-Z0-9_.-]{1,15}$/;
const INTERFACE_PATTERN = /^[a-zA-Z0-9_.*-]{1,15}$/;

/** A name as Kubernetes gives them to objects: a DNS subdomain. */
export const objectName: Schema<string> = text((value) =>
  NAME.test(value) && value.length <= MAX_NAME
    ? undefined
    : `must be a name of lower case letters, digits, "-" and ".", at most ${MAX_NAME} characters`,
);

/** A network, or an address, of one family or of any. */
export function network(family?: IpFamily): Schema<string> {
  return text((value) => {
    const ip = tryParseCidr(value)?.ip ?? tryParseIp(value);
    return ip !== undefined && isOf(ip.family, family) ? undefined : `must be ${nameOf('network', family)}`;
  });
}

/** An address with a prefix length: `192.0.2.1/24`. */
export function cidr(family?: IpFamily): Schema<string> {
  return text((value) => {
    const found = tryParseCidr(value);
    return found !== undefined && isOf(found.ip.family, family)
      ? undefined
      : `must be ${nameOf('network', family)} such as ${family === 6 ? 'fd00:10::/48' : '10.0.0.0/16'}`;
  });
}

export function ipAddress(family?: IpFamily): Schema<string> {
  return text((value) => {
    const found = tryParseIp(value);
    return found !== undefined && isOf(found.family, family)
      ? undefined
      : `must be ${nameOf('address', family)}`;
  });
}

function isOf(found: IpFamily, wanted: IpFamily | undefined): boolean {
  return wanted === undefined || found === wanted;
}

function nameOf(what: string, family: IpFamily | undefined): string {
  return `an IP${family === undefined ? '' : `v${family}`} ${what}`;
}

/** An address, perhaps with a port: `192.0.2.1`, `192.0.2.1:179`, `[2001:db8::1]:179`. */
export const ipAndPort: Schema<string> = text((value) =>
  parseIpAndPort(value) === undefined ? 'must be an address, or ADDRESS:PORT, or [IPV6]:PORT' : undefined,
);

/** Takes `192.0.2.1:179` apart; undefined for what is none. Without a port, `port` is undefined. */
export function parseIpAndPort(value: string): { ip: string; port: number | undefined } | undefined {
  if (tryParseIp(value) !== undefined) return { ip: value, port: undefined };
  const [, ipv6, ipv4, portText] = HOST_PORT.exec(value) ?? [];
  const ip = tryParseIp(ipv6 ?? ipv4 ?? '');
  const port = Number(portText);
  const isRight =
    ip !== undefined && ip.family === (ipv6 === undefined ? 4 : 6) && port >= 1 && port <= MAX_PORT;
  return isRight ? { ip: (ipv6 ?? ipv4)!, port } : undefined;
}

/** A selector over labels; see {@link parseSelectorOrGlobal}. */
export const selector: Schema<string> = {
  read(value, place) {
    if (typeof value !== 'string') throw refusal(place, value, 'must be a string');
    try {
      parseSelectorOrGlobal(value);
    } catch (error) {
      throw refusal(place, value, (error as Error).message);
    }
    return value;
  },
};

/** An AS number, also as text and in the dotted form: 64512, "64512", "1.10". */
export const asNumber: Schema<number> = {
  read(value, place) {
    const number = typeof value === 'string' ? parseAsText(value) : value;
    return integer(0, MAX_AS).read(number ?? value, place);
  },
};

function parseAsText(value: string): number | undefined {
  if (/^\d+$/.test(value)) return Number(value);
  const [, high, low] = AS_DOT.exec(value) ?? [];
  if (high === undefined || Number(high) > MAX_AS_HALF || Number(low) > MAX_AS_HALF) return undefined;
  return Number(high) * (MAX_AS_HALF + 1) + Number(low);
}

/** A length of time in Go's form: `2m`, `90s`, `1h30m`. */
export const duration: Schema<string> = text((value) =>
  goDurationMs(value) === undefined ? 'must be a length of time such as "90s" or "2m"' : undefined,
);

export const port: Schema<number> = integer(1, MAX_PORT);

export const hardwareAddress: Schema<string> = text((value) =>
  isMac(value) ? undefined : 'must be a hardware address such as "02:00:5e:00:53:01"',
);

/** Name of a network interface. */
export const interfaceName: Schema<string> = text((value) =>
  INTERFACE.test(value) ? undefined : 'must be the name of an interface, at most 15 characters',
);

/** Name of a network interface, with `*` for any characters. */
export const interfacePattern: Schema<string> = text((value) =>
  INTERFACE_PATTERN.test(value)
    ? undefined
    : 'must be the name of an interface, at most 15 characters, "*" for any',
);

/** A BGP community `aa:nn` of 16 bits each, or a large one `aa:nn:mm` of 32 bits each. */
export const community: Schema<string> = text((value) =>
  isCommunity(value) ? undefined : 'must be a community aa:nn (16 bits each) or aa:nn:mm (32 bits each)',
);

export function isCommunity(value: string): boolean {
  if (!COMMUNITY.test(value)) return false;
  const parts = value.split(':').map(Number);
  return parts.every((part) => part <= (parts.length === 2 ? MAX_AS_HALF : MAX_AS));
}
