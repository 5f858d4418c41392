import { setTimeout as sleep } from 'node:timers/promises';
import { compareIp, formatIp } from '@amphipod/netlink';
import type { ClientOptions } from './acquire-lease.ts';
import { extendLease, type Grant, requestAddress } from './client.ts';
import { everyServer } from './exchange.ts';
import { describeExpiry, type LeaseRecord, leaseTimes } from './lease-record.ts';
import { type PodLink, reopenPodLink } from './pod-link.ts';
import { sendRelease } from './send-release.ts';

/** Longest delay of a timer, and how often the clock is looked at: machines are suspended. */
const LONGEST_SLEEP_MS = 60 * 60 * 1000;
const MIN_RETRY_MS = 2000;

export interface LeaseEvents {
  /** It was extended. */
  changed(record: LeaseRecord): void;
  /** It has ended by itself: the interface is gone, or the server no longer extends it. */
  ended(record: LeaseRecord): void;
}

type Extension = Grant | 'refused' | 'no answer' | 'no interface';

/** A lease that is extended in time until it is released. */
export class Lease {
  #record: LeaseRecord;
  readonly #options: ClientOptions;
  readonly #events: LeaseEvents;
  readonly #stop = new AbortController();
  readonly #maintained: Promise<void>;

  constructor(record: LeaseRecord, options: ClientOptions, events: LeaseEvents) {
    this.#record = record;
    this.#options = options;
    this.#events = events;
    this.#maintained = this.#maintain();
  }

  get record(): LeaseRecord {
    return this.#record;
  }

  /** Whether the interface is still there. */
  isInUse(): boolean {
    using link = this.#open();
    return link !== undefined;
  }

  /** No more extensions; the server is told nothing. */
  async suspend(): Promise<void> {
    this.#stop.abort();
    await this.#maintained;
  }

  /** Gives the address back. A server that does not hear of it takes it back when the lease ends. */
  async release(): Promise<void> {
    await this.suspend();
    this.#log('releasing lease');
    try {
      await sendRelease(this.#record);
    } catch (error) {
      this.#log(`failed to release DHCP lease: ${(error as Error).message}`);
    }
  }

  async #maintain(): Promise<void> {
    const { signal } = this.#stop;
    for (let next = this.#record.renewAt; await sleepUntil(next, signal); ) {
      const outcome = await this.#extend().catch((error: Error): Extension => {
        if (!signal.aborted) this.#log(error.message);
        return 'no answer';
      });
      if (signal.aborted) return;
      if (outcome === 'no interface') return this.#end('the interface is gone');
      if (typeof outcome === 'object') {
        this.#record = { ...this.#record, grant: outcome, ...leaseTimes(outcome, Date.now()) };
        this.#events.changed(this.#record);
        this.#log(`lease renewed, expiration is ${describeExpiry(this.#record)}`);
        next = this.#record.renewAt;
      } else if (outcome === 'refused' || Date.now() >= this.#record.expiresAt) {
        this.#setDown();
        return this.#end(
          outcome === 'refused' ? 'the address belongs to another client now' : 'lease expired',
        );
      } else {
        next = this.#nextTry();
      }
    }
  }

  /** Half of the time that is left in this phase, as RFC 2131 section 4.4.5 wants it. */
  #nextTry(): number {
    const now = Date.now();
    const { rebindAt, expiresAt } = this.#record;
    const limit = now < rebindAt ? rebindAt : expiresAt;
    return Math.min(now + Math.max((limit - now) / 2, MIN_RETRY_MS), Math.max(limit, now));
  }

  async #extend(): Promise<Extension> {
    const { grant, client, rebindAt, expiresAt } = this.#record;
    using link = this.#open();
    if (link === undefined) return 'no interface';
    const isRenewing = Date.now() < rebindAt;
    const left = (isRenewing ? rebindAt : expiresAt) - Date.now();
    const ask = {
      timeoutMs: Math.max(1, Math.min(this.#options.timeoutMs, left)),
      signal: this.#stop.signal,
    };
    const answer = await extendLease(link.socket, client, {
      ...ask,
      grant,
      to: isRenewing ? grant.server : everyServer,
    });
    if (answer === undefined) return 'no answer';
    if ('ip' in answer) return compareIp(answer.ip, grant.ip) === 0 ? answer : 'refused';
    this.#log(`server rejected request with Nak (msg: ${answer.refused})`);
    return await this.#askAnew(link);
  }

  /** A server that knows nothing of the lease may give the same address again; the pod could not use another one. */
  async #askAnew(link: PodLink): Promise<Extension> {
    const { grant, client } = this.#record;
    const again = await requestAddress(link.socket, client, {
      wanted: grant.ip,
      timeoutMs: this.#options.timeoutMs,
      signal: this.#stop.signal,
    });
    return again !== undefined && 'ip' in again ? again : 'refused';
  }

  #open(): PodLink | undefined {
    return reopenPodLink({ ...this.#record, mac: this.#record.client.mac });
  }

  #setDown(): void {
    try {
      using link = this.#open();
      link?.down();
    } catch (error) {
      this.#log(`failed to bring interface down: ${(error as Error).message}`);
    }
  }

  #end(why: string): void {
    this.#log(`${why}: ${formatIp(this.#record.grant.ip)} is given up`);
    this.#events.ended(this.#record);
  }

  #log(text: string): void {
    this.#options.log(`${this.#record.client.clientId}: ${text}`);
  }
}

/** False when aborted. */
async function sleepUntil(at: number, signal: AbortSignal): Promise<boolean> {
  for (;;) {
    if (signal.aborted) return false;
    const left = at - Date.now();
    if (left <= 0) return true;
    try {
      // A lease alone does not keep the process running: its socket does.
      await sleep(Math.min(left, LONGEST_SLEEP_MS), undefined, { signal, ref: false });
    } catch {
      return false;
    }
  }
}
