import { existsSync, writeFileSync } from 'node:fs';
import type { Nft } from '@amphipod/netlink';
import { PolicyEngine } from '../engine/engine.ts';
import type { PolicyWorld } from '../model/policy-world.ts';
import { RevokedFlows } from './revoked-flows.ts';
import { RulesInKernel } from './rules-in-kernel.ts';

const CHECK_MS = 250;
/** Revoked flows that have ended are forgotten. */
const FLOWS_MS = 30_000;
const BRIDGE_SYSCTLS = '/proc/sys/net/bridge';

export interface PolicyOptions {
  world: PolicyWorld;
  /** Into the network namespace that forwards for the pods. */
  nft: Nft;
  /** Cuts flows that have begun and are not allowed any more. Unless given, they go on. */
  isStrict?: boolean;
  /** Told when the table was not as it was left, and has been written anew. */
  onMend?: () => void;
  /** Told of failures that are tried again, of the same one once. */
  onError?: (error: unknown) => void;
}

/** Network policy in force. Ends when it is disposed of; the rules stay, so that nobody is let through meanwhile. */
export interface RunningPolicy extends Disposable {
  /** Puts changes of the world into the kernel before it returns. Gives the number of steps. @throws NetlinkError */
  apply(): number;
  /** Takes the rules away. */
  remove(): void;
}

/** Puts the policies of a world into the kernel and keeps them there, whoever changes what. @throws NetlinkError */
export function startPolicy(options: PolicyOptions): RunningPolicy {
  const { world, nft: conn, isStrict = false, onMend, onError } = options;
  const engine = new PolicyEngine(world);
  const rules = new RulesInKernel({ conn, engine, isStrict });
  const flows = isStrict ? new RevokedFlows({ conn, world, engine }) : undefined;
  let looks = 0;
  const syncFlows = () => {
    looks = rules.looks;
    flows?.sync();
  };
  const apply = () => {
    const steps = rules.apply();
    if (steps > 0) syncFlows();
    return steps;
  };
  let told: string | undefined;
  const attempt = (act: () => void) => () => {
    try {
      act();
      told = undefined;
    } catch (error) {
      // Once, not four times a second.
      const { message } = error as Error;
      if (message !== told) onError?.(error);
      told = message;
    }
  };
  const mend = attempt(() => {
    const isMended = rules.mend();
    if (rules.looks !== looks) syncFlows();
    if (isMended) onMend?.();
  });
  apply();
  const timers = [setInterval(mend, CHECK_MS), setInterval(attempt(syncFlows), FLOWS_MS)];
  const stop = () => {
    for (const timer of timers) clearInterval(timer);
  };
  return {
    apply,
    remove() {
      stop();
      rules.remove();
    },
    [Symbol.dispose]: stop,
  };
}

/**
 * Has packets between ports of one bridge go through the rules, in the network namespace of the caller.
 * @returns false when the kernel's br_netfilter is not there: then pods of one bridge reach each other whatever policies say
 */
export function filterBridgedPackets(): boolean {
  const files = ['iptables', 'ip6tables'].map((name) => `${BRIDGE_SYSCTLS}/bridge-nf-call-${name}`);
  if (!files.every((file) => existsSync(file))) return false;
  for (const file of files) writeFileSync(file, '1');
  return true;
}
