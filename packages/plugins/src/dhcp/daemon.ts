import { type NetConf, parseJson } from '@amphipod/cni';
import { acquireLease, type ClientOptions } from './acquire-lease.ts';
import { type DhcpConfig, readConfig } from './config.ts';
import { Lease } from './lease.ts';
import {
  clientIdOf,
  describeExpiry,
  type LeaseRecord,
  readLeases,
  removeLease,
  writeLease,
} from './lease-record.ts';
import { leaseResult } from './lease-result.ts';
import { type CmdArgs, emptyBody, encodeResultBody, resultBody } from './rpc-messages.ts';
import type { RpcAnswer, RpcMethod } from './rpc-server.ts';

interface Pending {
  abort: AbortController;
  done: Promise<unknown>;
}

/** The leases of a daemon, by client identifier. */
export class DhcpDaemon {
  readonly methods: Readonly<Record<string, RpcMethod>> = {
    'DHCP.Allocate': (args, signal) => this.#allocate(args, signal),
    'DHCP.Release': (args) => this.#release(args),
  };
  readonly #leases = new Map<string, Lease>();
  /** What is under way: one attachment, one thing at a time. */
  readonly #pending = new Map<string, Pending>();
  readonly #options: ClientOptions & { hostPrefix: string; leaseDir: string };

  constructor(options: ClientOptions & { hostPrefix: string; leaseDir: string }) {
    this.#options = options;
  }

  /** Goes on with the leases of a daemon before this one. */
  restore(): void {
    for (const record of readLeases(this.#options.leaseDir)) this.#keep(record);
  }

  /** Leaves the leases as they are: to the next daemon, or to their ends. */
  async suspend(): Promise<void> {
    for (const { abort } of this.#pending.values()) abort.abort(new Error('the DHCP daemon ends'));
    await Promise.allSettled([...this.#pending.values()].map(({ done }) => done));
    await Promise.all([...this.#leases.values()].map((lease) => lease.suspend()));
  }

  async #allocate(args: CmdArgs, signal: AbortSignal): Promise<RpcAnswer> {
    const config = readConfig({ config: parseNetConf(args), args: args.args });
    const key = clientIdOf({ ...args, network: config.network });
    return await this.#exclusively(key, signal, async (whole) => {
      const record = await this.#existingOrNew(args, config, whole);
      return { type: resultBody, body: encodeResultBody(leaseResult(record.grant, config)) };
    });
  }

  async #existingOrNew(args: CmdArgs, config: DhcpConfig, signal: AbortSignal): Promise<LeaseRecord> {
    const { hostPrefix, log } = this.#options;
    const key = clientIdOf({ ...args, network: config.network });
    const netns = hostPrefix + args.netns;
    const existing = this.#leases.get(key);
    if (existing?.record.netns === netns && existing.isInUse()) return existing.record;
    if (existing !== undefined) await this.#drop(existing);
    log(`${key}: acquiring lease`);
    const record = await acquireLease(args, { netns, config, options: this.#options, signal });
    const lease = this.#keep(record);
    try {
      writeLease(this.#options.leaseDir, record);
      leaseResult(record.grant, config);
      signal.throwIfAborted();
    } catch (error) {
      await this.#drop(lease);
      throw error;
    }
    log(`${key}: lease acquired, expiration is ${describeExpiry(record)}`);
    return record;
  }

  async #release(args: CmdArgs): Promise<RpcAnswer> {
    const attachment = { ...args, network: parseNetConf(args).name };
    const key = clientIdOf(attachment);
    this.#pending.get(key)?.abort.abort(new Error('released meanwhile'));
    const never = new AbortController().signal;
    return await this.#exclusively(key, never, async () => {
      const lease = this.#leases.get(key);
      if (lease !== undefined) await this.#drop(lease);
      return { type: emptyBody, body: {} };
    });
  }

  async #drop(lease: Lease): Promise<void> {
    this.#leases.delete(clientIdOf(lease.record));
    await lease.release();
    removeLease(this.#options.leaseDir, lease.record);
  }

  #keep(record: LeaseRecord): Lease {
    const { leaseDir, log } = this.#options;
    // Only the daemon after this one needs the file: a full disk ends no lease.
    const tryFile = (change: (dir: string, record: LeaseRecord) => void, now: LeaseRecord) => {
      try {
        change(leaseDir, now);
      } catch (error) {
        log(`${clientIdOf(now)}: failed to keep lease: ${(error as Error).message}`);
      }
    };
    const lease = new Lease(record, this.#options, {
      changed: (now) => tryFile(writeLease, now),
      ended: (last) => {
        this.#leases.delete(clientIdOf(last));
        tryFile(removeLease, last);
      },
    });
    this.#leases.set(clientIdOf(record), lease);
    return lease;
  }

  async #exclusively<T>(
    key: string,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    for (let before = this.#pending.get(key); before !== undefined; before = this.#pending.get(key)) {
      await Promise.allSettled([before.done]);
    }
    const abort = new AbortController();
    const done = work(AbortSignal.any([signal, abort.signal]));
    this.#pending.set(key, { abort, done });
    try {
      return await done;
    } finally {
      this.#pending.delete(key);
    }
  }
}

function parseNetConf({ stdinData }: CmdArgs): NetConf {
  try {
    return parseJson(stdinData) as NetConf;
  } catch (cause) {
    throw new Error(`error parsing netconf: ${(cause as Error).message}`, { cause });
  }
}
