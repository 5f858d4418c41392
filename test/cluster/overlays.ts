// Overlays in this process, one for each node of a test.
import {
  type Datastore,
  type NetworkConfig,
  type Overlay,
  openDatastoreLeases,
  parseNetworkConfig,
  readUnderlay,
  startOverlay,
} from '@amphipod/fabric';
import type { IpFamily } from '@amphipod/netlink';
import { addPod, type TestNode, unreachablePods, until } from './nodes.ts';

export const prefix = '/coreos.com/network';
export const overlayDevices = { 4: 'flannel.1', 6: 'flannel-v6.1' } as const;

/** A network configuration with both families. */
export function dualStack(backend: object): NetworkConfig {
  const text = JSON.stringify({
    Network: '10.244.0.0/16',
    EnableIPv6: true,
    IPv6Network: 'fc00:244::/48',
    Backend: backend,
  });
  return parseNetworkConfig(text, 'net-conf.json');
}

export interface RunningNode {
  node: TestNode;
  overlay: Overlay;
  /** Differences that were mended, look by look. */
  syncs: { mended: number; isFull: boolean }[];
}

/** Starts the overlay on a node. */
export async function startNode(
  node: TestNode,
  store: Datastore,
  config: NetworkConfig,
): Promise<RunningNode> {
  const syncs: RunningNode['syncs'] = [];
  const underlay = readUnderlay(node.kernel.rtnl, { families: [4, 6], name: 'eth0' });
  const overlay = await startOverlay({
    leases: openDatastoreLeases({ store, prefix }),
    config,
    underlay,
    kernel: node.kernel,
    masquerade: true,
    onSync: (mended, { isFull }) => syncs.push({ mended, isFull }),
  });
  return { node, overlay, syncs };
}

/** Starts the overlay on all nodes and gives each a pod. */
export async function startAll(nodes: readonly TestNode[], store: Datastore, config: NetworkConfig) {
  const running = await Promise.all(nodes.map((node) => startNode(node, store, config)));
  for (const { node, overlay } of running) {
    addPod(node, [overlay.lease.subnet!, overlay.lease.ipv6Subnet!], overlay.mtu);
  }
  return running;
}

/** Waits until a look at the whole kernel finds all as it is wanted. */
export async function untilNothingToMend({ overlay, syncs }: RunningNode): Promise<void> {
  await until('nothing is left to mend', async () => {
    const from = syncs.length;
    const looks = () => syncs.slice(from).filter(({ isFull }) => isFull);
    overlay.resync();
    await until('the kernel is looked at', () => looks().length > 0);
    return looks().at(-1)!.mended === 0;
  });
}

/** Ends the overlays; what they set up stays. */
export async function stopAll(running: readonly RunningNode[]): Promise<void> {
  await Promise.all(running.map(({ overlay }) => overlay[Symbol.asyncDispose]()));
}

/** Waits until every pod reaches every pod. */
export async function untilAllReach({
  nodes,
  mtu,
}: {
  nodes: readonly TestNode[];
  mtu: number;
}): Promise<void> {
  let missing: string[] = [];
  await until('every pod reaches every pod', async () => {
    missing = await unreachablePods(nodes, mtu);
    return missing.length === 0;
  }).catch((error: Error) => {
    throw new Error(`${error.message}; missing: ${missing.join(', ')}`);
  });
}

/** Lines of `bridge fdb` and `ip` for the device of a family, as people look at it. */
export function seen(
  node: TestNode,
  family: IpFamily = 4,
): { fdb: string[]; neighbours: string[]; routes: string[] } {
  const lines = (text: string) =>
    text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.trim())
      .toSorted();
  const device = overlayDevices[family];
  return {
    fdb: lines(node.netns.run('bridge', 'fdb', 'show', 'dev', device)),
    neighbours: lines(node.netns.run('ip', `-${family}`, 'neigh', 'show', 'dev', device, 'nud', 'permanent')),
    routes: lines(node.netns.run('ip', `-${family}`, 'route', 'show', 'dev', device, 'proto', '97')),
  };
}
