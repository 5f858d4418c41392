import { hash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFile } from '@amphipod/linux';
import { formatIp, parseIp } from '@amphipod/netlink';
import type { DhcpClient, Grant } from './client.ts';
import { OPTION, readSeconds } from './message.ts';

const DEFAULT_LEASE_S = 3600;
/** A lease without end. */
const FOREVER_S = 0xffff_ffff;

/** A lease with all that is needed to go on with it: kept in a file, so that it outlives the daemon. */
export interface LeaseRecord {
  containerID: string;
  network: string;
  ifName: string;
  /** As the daemon sees it. */
  netns: string;
  /** Device and inode of the namespace. */
  netnsId: string;
  client: DhcpClient;
  grant: Grant;
  /** Unix times in ms; Infinity for a lease without end. */
  renewAt: number;
  rebindAt: number;
  expiresAt: number;
}

/** What a server knows an attachment by, cut to what fits into an option, as the reference has it. */
export function clientIdOf({
  containerID,
  network,
  ifName,
}: Pick<LeaseRecord, 'containerID' | 'network' | 'ifName'>): string {
  return `${containerID}/${network}/${ifName}`.slice(0, 254);
}

/** RFC 2131 section 4.4.5. @param now Unix time in ms when the server's answer came */
export function leaseTimes(
  { options }: Pick<Grant, 'options'>,
  now: number,
): Pick<LeaseRecord, 'renewAt' | 'rebindAt' | 'expiresAt'> {
  const lease = readSeconds(options, OPTION.leaseTime) ?? DEFAULT_LEASE_S;
  if (lease === FOREVER_S) return { renewAt: Infinity, rebindAt: Infinity, expiresAt: Infinity };
  const rebind = Math.min(readSeconds(options, OPTION.rebindingTime) ?? lease * 0.85, lease);
  const renew = Math.min(readSeconds(options, OPTION.renewalTime) ?? lease / 2, rebind);
  const at = (seconds: number) => now + seconds * 1000;
  return { renewAt: at(renew), rebindAt: at(rebind), expiresAt: at(lease) };
}

/** `2026-01-31T12:00:00.000Z`, or `never`. */
export function describeExpiry({ expiresAt }: Pick<LeaseRecord, 'expiresAt'>): string {
  return expiresAt === Infinity ? 'never' : new Date(expiresAt).toISOString();
}

/** Where a daemon with this socket keeps its leases. */
export function leaseDir(socketPath: string): string {
  return `${socketPath}.leases`;
}

function pathOf(dir: string, record: Parameters<typeof clientIdOf>[0]): string {
  return join(dir, hash('sha256', clientIdOf(record)).slice(0, 32));
}

export function writeLease(dir: string, record: LeaseRecord): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  replaceFile(pathOf(dir, record), JSON.stringify(encode(record), undefined, 1), { mode: 0o600 });
}

export function removeLease(dir: string, record: Parameters<typeof clientIdOf>[0]): void {
  rmSync(pathOf(dir, record), { force: true });
}

/** The lease of an attachment; undefined when there is none. */
export function readLease(
  dir: string,
  attachment: Parameters<typeof clientIdOf>[0],
): LeaseRecord | undefined {
  return readFile(pathOf(dir, attachment));
}

/** All leases; files that cannot be read are passed over. */
export function readLeases(dir: string): LeaseRecord[] {
  let names: string[];
  try {
    names = readdirSync(dir);
  } catch {
    return [];
  }
  return names
    .filter((name) => !name.endsWith('.tmp'))
    .map((name) => readFile(join(dir, name)))
    .filter((record) => record !== undefined);
}

interface LeaseFile extends Omit<LeaseRecord, 'client' | 'grant'> {
  client: Omit<DhcpClient, 'mac' | 'provide'> & { mac: string; provide: { code: number; value: string }[] };
  grant: { ip: string; options: [number, string][]; server: { ip: string; mac: string } };
}

function encode({ client, grant, ...rest }: LeaseRecord): LeaseFile {
  return {
    ...rest,
    client: {
      ...client,
      mac: client.mac.toString('hex'),
      provide: client.provide.map(({ code, value }) => ({ code, value: value.toString('hex') })),
    },
    grant: {
      ip: formatIp(grant.ip),
      options: [...grant.options].map(([code, value]) => [code, value.toString('hex')]),
      server: { ip: formatIp(grant.server.ip), mac: grant.server.mac.toString('hex') },
    },
  };
}

function readFile(path: string): LeaseRecord | undefined {
  try {
    const { client, grant, ...rest } = JSON.parse(readFileSync(path, 'utf8')) as LeaseFile;
    const bytes = (hex: string) => Buffer.from(hex, 'hex');
    return {
      ...rest,
      // JSON has no Infinity.
      renewAt: rest.renewAt ?? Infinity,
      rebindAt: rest.rebindAt ?? Infinity,
      expiresAt: rest.expiresAt ?? Infinity,
      client: {
        ...client,
        mac: bytes(client.mac),
        provide: client.provide.map(({ code, value }) => ({ code, value: bytes(value) })),
      },
      grant: {
        ip: parseIp(grant.ip),
        options: new Map(grant.options.map(([code, value]) => [code, bytes(value)])),
        server: { ip: parseIp(grant.server.ip), mac: bytes(grant.server.mac) },
      },
    };
  } catch {
    // Not there, or the work of a crash: the lease ends by itself.
    return undefined;
  }
}
