import { setTimeout as sleep } from 'node:timers/promises';
import { type DhcpClient, type Grant, requestAddress } from './client.ts';
import type { DhcpConfig } from './config.ts';
import { clientIdOf, type LeaseRecord, leaseTimes } from './lease-record.ts';
import { openPodLink, type PodLink } from './pod-link.ts';
import type { CmdArgs } from './rpc-messages.ts';

/** How a daemon goes about it; the reference's daemon has the same options. */
export interface ClientOptions {
  /** Wait for an answer to one message. */
  timeoutMs: number;
  /** Longest pause between two tries. */
  resendMax: number;
  /** After this no more tries. */
  resendTimeoutMs: number;
  broadcast: boolean;
  log(line: string): void;
}

const FAST_TRIES = 4;
const FAST_PAUSE_MS = 2000;
const FIRST_PAUSE_MS = 4000;
const JITTER_MS = 1000;

/** Gets a lease for a pod's interface, trying for a while. @throws Error `no more tries`; the signal's reason */
export async function acquireLease(
  { containerID, ifName }: CmdArgs,
  {
    netns,
    config,
    options,
    signal,
  }: { netns: string; config: DhcpConfig; options: ClientOptions; signal: AbortSignal },
): Promise<LeaseRecord> {
  using link = openPodLink(netns, ifName);
  const attachment = { containerID, network: config.network, ifName };
  const client: DhcpClient = {
    clientId: clientIdOf(attachment),
    mac: link.mac,
    provide: config.provide,
    request: config.request,
    broadcast: options.broadcast,
  };
  const grant = await tryRepeatedly(link, client, { options, signal });
  return { ...attachment, netns, netnsId: link.netnsId, client, grant, ...leaseTimes(grant, Date.now()) };
}

async function tryRepeatedly(
  link: PodLink,
  client: DhcpClient,
  { options, signal }: { options: ClientOptions; signal: AbortSignal },
): Promise<Grant> {
  const { timeoutMs, resendMax, resendTimeoutMs, log } = options;
  const deadline = performance.now() + resendTimeoutMs;
  const left = () => Math.max(0, deadline - performance.now());
  let why = 'no DHCP server answers';
  let pauseMs = FIRST_PAUSE_MS;
  for (let tries = 1; left() > 0; tries++) {
    const outcome = await requestAddress(link.socket, client, {
      timeoutMs: Math.min(timeoutMs, left()),
      signal,
    });
    if (outcome !== undefined && 'ip' in outcome) return outcome;
    why = outcome === undefined ? 'no DHCP server answers' : `the DHCP server refuses: ${outcome.refused}`;
    log(`${client.clientId}: ${why}`);
    const isFast = tries <= FAST_TRIES;
    const jitter = JITTER_MS * (2 * Math.random() - 1);
    await sleep(Math.min((isFast ? FAST_PAUSE_MS : pauseMs) + jitter, left()), undefined, { signal });
    if (!isFast) pauseMs = Math.min(pauseMs * 2, resendMax);
  }
  throw new Error(`no more tries: ${why}`);
}
