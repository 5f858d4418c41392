import {
  addrAdd,
  addrList,
  cidrOf,
  formatCidr,
  formatIp,
  type IpAddress,
  type IpFamily,
  linkFind,
  linkGet,
  linkSet,
  monitor,
  type Route,
  type Rtnl,
} from '@amphipod/netlink';
import type { Datastore } from '../datastore/datastore.ts';
import { ipKey } from '../overlay/ip-key.ts';
import { syncDevice } from '../overlay/sync-devices.ts';
import type { KernelView } from '../overlay/sync-kernel.ts';
import { type Removals, syncPeers } from '../overlay/sync-peers.ts';
import { TrackedMap } from '../overlay/tracked-map.ts';
import type { VxlanPeer } from '../overlay/wanted-state.ts';
import { addressOf, type BgpFacts } from './bgp-facts.ts';
import { clusterRouteProtocol } from './cluster-route.ts';
import { HeldRoutes } from './held-routes.ts';
import { type Links, syncClusterRoutes } from './sync-cluster-routes.ts';
import { syncNat, type WrittenNat } from './sync-nat.ts';
import { ensureTunnelAddresses } from './tunnel-addresses.ts';
import { type WantedCluster, type WantedTunnel, wantedCluster } from './wanted-cluster.ts';

const RESYNC_MS = 60_000;
/** BIRD says at once what it knows; then it is asked again until the peers are back. */
const FIRST_REVIEW_MS = 10;
const REVIEW_MS = 500;
/** `proto bird`: BIRD marks the routes that it writes so, and can do nothing else. */
export const birdRouteProtocol = 12;
const VXLAN_VNI = 4096;
const VXLAN_PORT = 4789;
/** Outer headers of VXLAN: Ethernet 14, IP 20 or 40, UDP 8, VXLAN 8. */
const OVERHEAD = { 4: 50, 6: 70 } as const;
const IPIP_DEVICE = 'tunl0';

/** Names of the tunnels' devices, as Calico has them. */
const tunnelNames = { 4: 'vxlan.calico', 6: 'vxlan-v6.calico' } as const;

interface ClusterKernelOptions {
  store: Datastore;
  kernel: KernelView;
  onEvent?: (message: string) => void;
  /** Addresses of peers that BIRD wants to have and has not, or not yet again; undefined while BIRD does not say. */
  awayPeers: () => Promise<ReadonlySet<bigint> | undefined>;
}

/** Keeps what the kernel has for the routed network beside BIRD's routes: blackholes, tunnels and their routes, masquerading. */
export class ClusterKernel {
  readonly #options: ClusterKernelOptions;
  readonly #onDeviation: () => void;
  readonly #stop = new AbortController();
  #nat: WrittenNat | undefined;
  #told = new Set<string>();
  #devices = new Set<number>();
  readonly #held = new HeldRoutes();
  #review: NodeJS.Timeout | undefined;

  /** @param onDeviation called when somebody else has changed what is ours */
  constructor(options: ClusterKernelOptions, onDeviation: () => void) {
    this.#options = options;
    this.#onDeviation = onDeviation;
  }

  /** Listens to the kernel until the signal aborts, and looks at all of it every minute. */
  async watch(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#stop.abort(), { once: true });
    const timer = setInterval(() => this.#onDeviation(), RESYNC_MS);
    try {
      for await (const event of monitor(this.#options.kernel.rtnl, ['link', 'route', 'neighbour', 'fdb'], {
        signal,
      })) {
        const isOurs =
          event.subject === 'lost' ||
          (event.subject === 'route' &&
            event.route.protocol === clusterRouteProtocol &&
            event.change === 'gone') ||
          (event.subject === 'link' && this.#devices.has(event.link.ifIndex)) ||
          (event.subject === 'neighbour' &&
            event.change === 'gone' &&
            this.#devices.has(event.neighbour.ifIndex)) ||
          (event.subject === 'fdb' && event.change === 'gone' && this.#devices.has(event.entry.ifIndex));
        if (isOurs) this.#onDeviation();
        else if (event.subject === 'route' && event.change === 'gone') this.#hold(event.route);
      }
    } finally {
      clearTimeout(this.#review);
      clearInterval(timer);
    }
  }

  #hold(route: Route): void {
    if (route.protocol !== birdRouteProtocol) return;
    this.#held.take(this.#options.kernel.rtnl, route);
    // Perhaps the peer itself has taken it back: BIRD knows.
    if (this.#held.size > 0) this.#reviewIn(FIRST_REVIEW_MS);
  }

  #reviewIn(delayMs: number): void {
    clearTimeout(this.#review);
    this.#review = setTimeout(() => {
      void this.#options.awayPeers().then((away) => {
        if (this.#stop.signal.aborted) return;
        this.#held.release((neighbor) => away !== undefined && !away.has(neighbor));
        this.#onDeviation();
        if (this.#held.size > 0) this.#reviewIn(REVIEW_MS);
      });
    }, delayMs);
  }

  /** Makes all of it as the facts want it. @throws NetlinkError; as {@link ensureTunnelAddresses} */
  async apply(facts: BgpFacts): Promise<void> {
    const { store, kernel } = this.#options;
    await ensureTunnelAddresses(store, facts, this.#stop.signal);
    this.#held.learn(facts);
    const wanted = wantedCluster(facts);
    if (wanted === undefined) return;
    const problems = [...wanted.problems];
    const links = { 4: await this.#links(wanted, 4, problems), 6: await this.#links(wanted, 6, problems) };
    const routes = [...wanted.routes, ...this.#held.routes()];
    for (const family of [4, 6] as const) syncClusterRoutes(kernel.rtnl, routes, { family, links });
    this.#nat = syncNat(kernel.nft, wanted.nat, this.#nat).written;
    for (const problem of problems) if (!this.#told.has(problem)) this.#options.onEvent?.(problem);
    this.#told = new Set(problems);
  }

  async #links(wanted: WantedCluster, family: IpFamily, problems: string[]): Promise<Links> {
    const { rtnl } = this.#options.kernel;
    const own = addressOf(wanted.own, family)?.ip;
    const direct = own && findLink(rtnl, own);
    if (own !== undefined && direct === undefined)
      problems.push(`no interface has the node's address ${formatIp(own)}`);
    const tunnel = wanted.tunnels.find((one) => one.family === family);
    const vxlan =
      tunnel === undefined || own === undefined || direct === undefined
        ? undefined
        : await this.#syncTunnel(tunnel, own, direct);
    const ipip =
      family === 4 && wanted.ipip !== undefined ? syncIpip(rtnl, wanted.ipip, problems) : undefined;
    return { direct, vxlan, ipip };
  }

  async #syncTunnel(tunnel: WantedTunnel, local: IpAddress, parentIndex: number): Promise<number> {
    const { rtnl } = this.#options.kernel;
    const { family, address, mac, peers } = tunnel;
    const { ifIndex } = await syncDevice(rtnl, {
      name: tunnelNames[family],
      vni: VXLAN_VNI,
      port: VXLAN_PORT,
      gbp: false,
      parentIndex,
      local,
      mtu: linkGet(rtnl, parentIndex).mtu - OVERHEAD[family],
      mac,
      address: cidrOf(address),
    });
    this.#devices.add(ifIndex);
    const [fdb, neighbours] = [new TrackedMap<string, VxlanPeer>(), new TrackedMap<bigint, VxlanPeer>()];
    for (const peer of peers) {
      fdb.set(peer.mac, peer);
      neighbours.set(ipKey(peer.vtep), peer);
    }
    const removals: Removals = [];
    syncPeers(rtnl, { ifIndex, family: { family, fdb, neighbours }, removals });
    for (const remove of removals) remove();
    return ifIndex;
  }
}

/** The link that has this address. */
function findLink(rtnl: Rtnl, ip: IpAddress): number | undefined {
  return addrList(rtnl, { family: ip.family }).find(({ cidr }) => cidr.ip.value === ip.value)?.ifIndex;
}

/** The device that the kernel's module brings along. */
function syncIpip(rtnl: Rtnl, address: IpAddress, problems: string[]): number | undefined {
  const link = linkFind(rtnl, IPIP_DEVICE);
  if (link === undefined) {
    problems.push(`there is no ${IPIP_DEVICE}: the kernel needs its module ipip`);
    return undefined;
  }
  if (!link.flags.up) linkSet(rtnl, link.ifIndex, { up: true });
  const wanted = cidrOf(address);
  const isThere = addrList(rtnl, { ifIndex: link.ifIndex }).some(
    ({ cidr }) => formatCidr(cidr) === formatCidr(wanted),
  );
  if (!isThere) addrAdd(rtnl, link.ifIndex, wanted);
  return link.ifIndex;
}
