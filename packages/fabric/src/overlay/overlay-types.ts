import type { Lease } from './lease.ts';
import type { LeaseStore } from './lease-store.ts';
import type { NetworkConfig } from './network-config.ts';
import type { KernelView } from './sync-kernel.ts';
import type { PassedOver, Underlay, WantedState } from './wanted-state.ts';
import type { WireguardKey } from './wireguard-key.ts';

export interface OverlayOptions {
  leases: LeaseStore;
  config: NetworkConfig;
  underlay: Underlay;
  kernel: KernelView;
  masquerade: boolean;
  /** Must be there for wireguard. */
  wireguardKey?: WireguardKey;
  /** The subnets of the last time. */
  previous?: Pick<Lease, 'subnet' | 'ipv6Subnet'>;
  /** Told after each look at the kernel: how many differences were mended, and what the look was. */
  onSync?: (mended: number, look: SyncLook) => void;
  /** Told of failures that are tried again. */
  onError?: (error: unknown) => void;
  /** As in {@link WatchLeasesOptions}. */
  onConnection?: (error: unknown) => void;
  /** Told when the lease was acquired or renewed. */
  onRenewed?: () => void;
}

/** One look at the kernel. */
export interface SyncLook {
  /** At all that the overlay has there, not only at what has changed. */
  isFull: boolean;
  durationMs: number;
}

/**
 * Keeps the overlay of this node: its lease, and the kernel's devices, routes and rules as the leases of all nodes want them,
 * whoever changes what. Ends when it is disposed of; devices, routes and rules stay, so that pods do not notice.
 */
export interface Overlay extends AsyncDisposable {
  readonly lease: Lease;
  /** The MTU for pods. */
  readonly mtu: number;
  /** What the kernel is to have, as of now; to be read only. */
  readonly wanted: WantedState;
  /** The lease runs out when nobody renews it. */
  readonly expires: boolean;
  /** Leases that nothing can be done for. */
  readonly passedOver: readonly PassedOver[];
  /** Is rejected with FabricError `lease-lost`, or whatever else ends the overlay; resolves when it is disposed of. */
  readonly ended: Promise<void>;
  /** Has all of the kernel looked at soon, as it is done every minute anyway. */
  resync(): void;
  /** Ends the overlay and gives the lease back, where it is the node's to give. */
  release(): Promise<void>;
}
