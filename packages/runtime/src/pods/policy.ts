import type { Sandbox } from '../store/records.ts';

/** What network policy must be told of pods, and when. */
export interface PodPolicy {
  /**
   * The pod has its addresses, and no process yet: its policies are in the kernel when this returns.
   * @throws CriError unavailable when they could not be put there
   */
  podAttached(sandbox: Sandbox): void;
  /** The pod's addresses are free again. */
  podDetached(sandbox: Sandbox): void;
}
