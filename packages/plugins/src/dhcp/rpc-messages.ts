import type { Result, ResultIp, ResultRoute } from '@amphipod/cni';
import {
  formatCidr,
  formatIp,
  type IpAddress,
  ipFromBytes,
  ipToBytes,
  parseCidr,
  parseIp,
} from '@amphipod/netlink';
import type { GobObject, GobStruct, GobType, GobValue } from './gob-types.ts';

// Go's net/rpc: before each body goes a header; field names are what the peers match by.
export const rpcRequest: GobStruct = {
  name: 'Request',
  fields: [
    ['ServiceMethod', 'string'],
    ['Seq', 'uint'],
  ],
};
export const rpcResponse: GobStruct = {
  name: 'Response',
  fields: [
    ['ServiceMethod', 'string'],
    ['Seq', 'uint'],
    ['Error', 'string'],
  ],
};
export const emptyBody: GobStruct = { name: '', fields: [] };

/** What a plugin was called with, as the reference's skeleton has it. */
export const cmdArgs: GobStruct = {
  name: 'CmdArgs',
  fields: [
    ['ContainerID', 'string'],
    ['Netns', 'string'],
    ['IfName', 'string'],
    ['Args', 'string'],
    ['Path', 'string'],
    ['StdinData', 'bytes'],
  ],
};

const ipNet: GobStruct = {
  name: 'IPNet',
  fields: [
    ['IP', 'bytes'],
    ['Mask', 'bytes'],
  ],
};
const strings: GobType = { elements: 'string' };

/** A result of version 1.0.0 or 1.1.0, as Go keeps it in memory. */
export const resultBody: GobStruct = {
  name: 'Result',
  fields: [
    ['CNIVersion', 'string'],
    [
      'IPs',
      {
        elements: {
          name: 'IPConfig',
          fields: [
            ['Interface', 'int'],
            ['Address', ipNet],
            ['Gateway', 'bytes'],
          ],
        },
      },
    ],
    [
      'Routes',
      {
        elements: {
          name: 'Route',
          fields: [
            ['Dst', ipNet],
            ['GW', 'bytes'],
            ['Priority', 'int'],
            ['Scope', 'int'],
          ],
        },
      },
    ],
    [
      'DNS',
      {
        name: 'DNS',
        fields: [
          ['Nameservers', strings],
          ['Domain', 'string'],
          ['Search', strings],
          ['Options', strings],
        ],
      },
    ],
  ],
};

export interface CmdArgs {
  containerID: string;
  netns: string;
  ifName: string;
  args: string;
  path: string;
  /** The configuration as JSON. */
  stdinData: string;
}

export function encodeCmdArgs(args: CmdArgs): GobObject {
  return {
    ContainerID: args.containerID,
    Netns: args.netns,
    IfName: args.ifName,
    Args: args.args,
    Path: args.path,
    StdinData: Buffer.from(args.stdinData),
  };
}

export function decodeCmdArgs(body: GobObject): CmdArgs {
  const text = (key: string) => (typeof body[key] === 'string' ? body[key] : '');
  return {
    containerID: text('ContainerID'),
    netns: text('Netns'),
    ifName: text('IfName'),
    args: text('Args'),
    path: text('Path'),
    stdinData: body.StdinData instanceof Uint8Array ? Buffer.from(body.StdinData).toString() : '',
  };
}

export function encodeResultBody({ ips = [], routes = [], dns = {} }: Result): GobObject {
  return {
    CNIVersion: '1.0.0',
    IPs: ips.map(({ address, gateway }) => ({
      Address: encodeNet(address),
      ...(gateway !== undefined && { Gateway: ipToBytes(parseIp(gateway)) }),
    })),
    Routes: routes.map(({ dst, gw, priority = 0, scope = 0 }) => ({
      Dst: encodeNet(dst),
      ...(gw !== undefined && { GW: ipToBytes(parseIp(gw)) }),
      Priority: priority,
      Scope: scope,
    })),
    DNS: {
      Nameservers: dns.nameservers ?? [],
      Domain: dns.domain ?? '',
      Search: dns.search ?? [],
      Options: dns.options ?? [],
    },
  };
}

/** @throws RangeError for addresses of another length than 4 or 16 */
export function decodeResultBody(body: GobObject): Result {
  const ips = objects(body.IPs).map(
    ({ Address, Gateway }): ResultIp => ({
      address: decodeNet(Address),
      ...(isBytes(Gateway) && { gateway: formatIp(readIp(Gateway)) }),
    }),
  );
  const routes = objects(body.Routes).map(
    ({ Dst, GW, Priority, Scope, MTU, AdvMSS, Table }): ResultRoute => ({
      dst: decodeNet(Dst),
      ...(isBytes(GW) && { gw: formatIp(readIp(GW)) }),
      ...(typeof MTU === 'number' && { mtu: MTU }),
      ...(typeof AdvMSS === 'number' && { advmss: AdvMSS }),
      ...(typeof Priority === 'number' && { priority: Priority }),
      ...(typeof Table === 'number' && { table: Table }),
      ...(typeof Scope === 'number' && { scope: Scope }),
    }),
  );
  const dns = decodeDns(body.DNS);
  return {
    ...(ips.length > 0 && { ips }),
    ...(routes.length > 0 && { routes }),
    ...(Object.keys(dns).length > 0 && { dns }),
  };
}

function decodeDns(value: GobValue | undefined): NonNullable<Result['dns']> {
  const { Nameservers, Domain, Search, Options } = (value ?? {}) as GobObject;
  return {
    ...(Array.isArray(Nameservers) && { nameservers: Nameservers.map(String) }),
    ...(typeof Domain === 'string' && { domain: Domain }),
    ...(Array.isArray(Search) && { search: Search.map(String) }),
    ...(Array.isArray(Options) && { options: Options.map(String) }),
  };
}

function objects(value: GobValue | undefined): GobObject[] {
  return Array.isArray(value) ? (value as GobObject[]) : [];
}

function isBytes(value: GobValue | undefined): value is Uint8Array {
  return value instanceof Uint8Array && value.length > 0;
}

function encodeNet(text: string): GobObject {
  const { ip, prefix } = parseCidr(text);
  const bytes = ipToBytes(ip);
  const bits = BigInt(bytes.length * 8);
  const mask = ((1n << BigInt(prefix)) - 1n) << (bits - BigInt(prefix));
  return { IP: bytes, Mask: ipToBytes({ family: ip.family, value: mask }) };
}

function decodeNet(value: GobValue | undefined): string {
  const { IP, Mask } = (value ?? {}) as GobObject;
  if (!isBytes(IP) || !isBytes(Mask)) throw new RangeError('read result: an address without mask');
  let prefix = 0;
  for (const byte of Mask) prefix += byte.toString(2).replaceAll('0', '').length;
  return formatCidr({ ip: readIp(IP), prefix });
}

/** Go keeps IPv4 addresses in 16 bytes at times. */
function readIp(bytes: Uint8Array): IpAddress {
  const ip = ipFromBytes(bytes);
  return ip.family === 6 && ip.value >> 32n === 0xffffn ? ipFromBytes(bytes.subarray(12)) : ip;
}
