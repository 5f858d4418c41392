import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { isCode } from '@amphipod/linux';
import { formatCidr, type IpFamily, openGenl, openNft, openRtnl } from '@amphipod/netlink';
import type { Lease } from '../overlay/lease.ts';
import type { LeaseStore } from '../overlay/lease-store.ts';
import type { NetworkConfig } from '../overlay/network-config.ts';
import { startOverlay } from '../overlay/overlay.ts';
import type { Overlay } from '../overlay/overlay-types.ts';
import { readUnderlay } from '../overlay/read-underlay.ts';
import { readSubnetEnv, type SubnetEnv, writeSubnetEnv } from '../overlay/subnet-env.ts';
import type { KernelView } from '../overlay/sync-kernel.ts';
import type { Underlay } from '../overlay/wanted-state.ts';
import { readWireguardKey } from '../overlay/wireguard-key.ts';
import type { AgentMonitor } from './agent-monitor.ts';

const RETRY_MS = 1_000;
const UNDERLAY_CHECK_MS = 1_000;

/** Told of what happens, a line each. */
export interface AgentLog {
  info(message: string, fields?: Record<string, string | number>): void;
  warn(message: string, fields?: Record<string, string | number>): void;
}

export interface AgentOptions {
  leases: LeaseStore;
  /** Tried again while it fails with FabricError `unavailable`. */
  readConfig: () => Promise<NetworkConfig>;
  /** Link of the underlay; that of the default route unless given. */
  interfaceName?: string;
  subnetFile: string;
  masquerade: boolean;
  log: AgentLog;
  /** Told of everything that is asked for later. */
  monitor?: AgentMonitor;
  /** Ends the agent; everything in the kernel stays. */
  signal: AbortSignal;
}

/**
 * Runs the network agent of this node in the current network namespace: waits for the datastore and the network configuration,
 * keeps the overlay, writes subnet.env, follows changes of the node's own address.
 * @throws FabricError `invalid-config`, `no-free-subnet`, `lease-lost`, `datastore-error`; NetlinkError
 */
export async function runAgent(options: AgentOptions): Promise<void> {
  const { signal } = options;
  using rtnl = openRtnl();
  using nft = openNft();
  using genl = openGenl();
  const kernel: KernelView = { rtnl, nft, genl };
  const config = await persist(options, options.readConfig);
  if (config === undefined) return;
  let previous = previousSubnets(options);
  while (!signal.aborted) {
    const underlay = readUnderlay(rtnl, underlayOptions(options, config));
    const overlay = await persist(options, () => start(options, { config, underlay, kernel, previous }));
    if (overlay === undefined) return;
    previous = overlay.lease;
    try {
      announce(options, { config, overlay, underlay });
      options.monitor?.running({ overlay, config, underlay });
      await persist(options, () => options.leases.announceReady({ signal }));
      await untilMoved(options, { config, overlay, underlay, kernel });
      if (!signal.aborted) {
        options.log.info('the underlay has changed', { interface: underlay.name });
        options.monitor?.waiting(`the underlay "${underlay.name}" has changed`);
        // Under the new address the old lease would be that of another node.
        await persist(options, () => overlay.release());
      }
    } finally {
      await overlay[Symbol.asyncDispose]();
    }
  }
}

interface Situation {
  config: NetworkConfig;
  underlay: Underlay;
  overlay: Overlay;
  kernel: KernelView;
}

function start(
  { leases, masquerade, log, monitor }: AgentOptions,
  situation: Omit<Situation, 'overlay'> & { previous: Pick<Lease, 'subnet' | 'ipv6Subnet'> | undefined },
): Promise<Overlay> {
  const { previous, ...parts } = situation;
  return startOverlay({
    ...parts,
    leases,
    masquerade,
    ...(parts.config.backend.type === 'wireguard' && { wireguardKey: readWireguardKey(wireguardKeyFile()) }),
    ...(previous !== undefined && { previous }),
    onSync: (differences, { durationMs }) => {
      if (differences > 0) log.info('mended the kernel', { differences });
      monitor?.synced({ mended: parts.kernel.lastMended!, durationMs });
    },
    onError: (error) => {
      monitor?.failed(error);
      log.warn(`${(error as Error).message}; trying again`);
    },
    onConnection: (error) => {
      monitor?.connection(error);
      if (error === undefined) log.info('the datastore answers again');
      else log.warn(`${(error as Error).message}; trying again`);
    },
    onRenewed: () => monitor?.renewed(),
  });
}

/** Where flannel has it; in the same variable too. */
function wireguardKeyFile(): string {
  return process.env.WIREGUARD_KEY_FILE || '/run/flannel/wgkey';
}

/** Does something until the datastore answers; undefined when the agent is to end first. */
async function persist<T>(
  { log, signal, monitor }: AgentOptions,
  act: () => Promise<T>,
): Promise<T | undefined> {
  let isTold = false;
  while (!signal.aborted) {
    try {
      return await act();
    } catch (error) {
      if (signal.aborted) return undefined;
      if (!isCode(error, 'unavailable')) throw error;
      monitor?.failed(error);
      monitor?.waiting((error as Error).message);
      if (!isTold) log.warn(`${(error as Error).message}; trying again`);
      isTold = true;
    }
    await delay(RETRY_MS, undefined, { signal }).catch(() => {});
  }
  return undefined;
}

/** The subnets of the last run; a file that cannot be used says nothing. */
function previousSubnets({
  subnetFile,
  log,
}: AgentOptions): Pick<Lease, 'subnet' | 'ipv6Subnet'> | undefined {
  let env: SubnetEnv | undefined;
  try {
    env = readSubnetEnv(subnetFile);
  } catch (error) {
    if (!isCode(error, 'invalid-config')) throw error;
    log.warn((error as Error).message);
  }
  if (env === undefined) return undefined;
  const { ipv4, ipv6 } = env;
  return { ...(ipv4 && { subnet: ipv4.subnet }), ...(ipv6 && { ipv6Subnet: ipv6.subnet }) };
}

function underlayOptions({ interfaceName }: AgentOptions, config: NetworkConfig) {
  const families = underlayFamilies(config);
  return { families, ...(interfaceName !== undefined && { name: interfaceName }) };
}

/** Those in which the node needs an address: a tunnel may carry both over one. */
function underlayFamilies({ ipv4, ipv6, backend }: NetworkConfig): IpFamily[] {
  if (backend.type === 'wireguard' && backend.mode === 'ipv4') return [4];
  if (backend.type === 'wireguard' && backend.mode === 'ipv6') return [6];
  return [...(ipv4 ? ([4] as const) : []), ...(ipv6 ? ([6] as const) : [])];
}

/** Tells plugins and people which subnet the node has. */
function announce(
  { subnetFile, masquerade, log }: AgentOptions,
  { config, overlay, underlay }: Omit<Situation, 'kernel'>,
): void {
  const { subnet, ipv6Subnet } = overlay.lease;
  writeSubnetEnv(subnetFile, {
    ...(config.ipv4 && subnet && { ipv4: { network: config.ipv4.network, subnet } }),
    ...(config.ipv6 && ipv6Subnet && { ipv6: { network: config.ipv6.network, subnet: ipv6Subnet } }),
    mtu: overlay.mtu,
    ipMasq: masquerade,
  });
  log.info('ready', {
    backend: config.backend.type,
    interface: underlay.name,
    subnets: [subnet, ipv6Subnet].flatMap((one) => (one === undefined ? [] : formatCidr(one))).join(','),
    mtu: overlay.mtu,
  });
  for (const { lease, why } of overlay.passedOver) {
    log.warn('a lease is passed over', { subnet: formatCidr((lease.subnet ?? lease.ipv6Subnet)!), why });
  }
}

/** Until the link or this node's addresses on it are others than before, the agent is to end, or the overlay has ended. */
async function untilMoved(
  options: AgentOptions,
  { config, overlay, underlay, kernel }: Situation,
): Promise<void> {
  const { signal } = options;
  // One handler, however long the overlay lives.
  const overlayEnds = new AbortController();
  const end = overlay.ended.finally(() => overlayEnds.abort());
  end.catch(() => {});
  const ends = AbortSignal.any([signal, overlayEnds.signal]);
  for (;;) {
    await delay(UNDERLAY_CHECK_MS, undefined, { signal: ends }).catch(() => {});
    if (signal.aborted) return;
    if (ends.aborted) return end;
    try {
      if (!isDeepStrictEqual(readUnderlay(kernel.rtnl, underlayOptions(options, config)), underlay)) return;
    } catch (error) {
      // Without an address there is nothing to change to: perhaps it comes back.
      if (!isCode(error, 'invalid-config')) throw error;
    }
  }
}
