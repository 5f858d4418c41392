import { existsSync, writeFileSync } from 'node:fs';
import type { Nft } from '@amphipod/netlink';
import { PolicyEngine } from '../engine/engine.ts';
import type { PolicyWorld } from '../model/policy-world.ts';
import { RulesInKernel } from './rules-in-kernel.ts';

const CHECK_MS = 250;
const BRIDGE_SYSCTLS = '/proc/sys/net/bridge';

export interface PolicyOptions {
  world: PolicyWorld;
  /** Into the network namespace that forwards for the pods. */
  nft: Nft;
  /** Told when the table was not as it was left, and has been written anew. */
  onMend?: () => void;
  /** Told of failures that are tried again. */
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
export function startPolicy({ world, nft, onMend, onError }: PolicyOptions): RunningPolicy {
  const rules = new RulesInKernel(nft, new PolicyEngine(world));
  rules.apply();
  const timer = setInterval(() => {
    try {
      if (rules.mend()) onMend?.();
    } catch (error) {
      onError?.(error);
    }
  }, CHECK_MS);
  return {
    apply: () => rules.apply(),
    remove() {
      clearInterval(timer);
      rules.remove();
    },
    [Symbol.dispose]() {
      clearInterval(timer);
    },
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
