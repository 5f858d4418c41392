// Nodes of a routed network: network namespaces with a BIRD each, pods as the plugin makes them, and an agent in this process.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  applyResource,
  askBird,
  type Bgp,
  type BgpOptions,
  createIpam,
  type Datastore,
  parseRoutes,
  readDocuments,
  type SessionState,
  startBgp,
} from '@amphipod/fabric';
import { formatIp } from '@amphipod/netlink';
import { createTestNetns, type TestNetns } from '../../kernel/netlink-namespaces.ts';
import { createCluster, type TestCluster, type TestNode, type UnderlayKind, until } from '../nodes.ts';

const HOST_MAC = 'ee:ee:ee:ee:ee:ee';

/** A pod with routed addresses. */
export interface RoutedPod {
  netns: TestNetns;
  handleId: string;
  ip: string;
}

export interface RoutedNode {
  name: string;
  node: TestNode;
  stateDir: string;
  pods: RoutedPod[];
  bgp: Bgp | undefined;
  /** What the agent told, oldest first. */
  events: string[];
}

export interface RoutedCluster extends AsyncDisposable {
  store: Datastore;
  nodes: RoutedNode[];
  cluster: TestCluster;
}

/** Applies resources written in YAML. */
export async function applyYaml(store: Datastore, yaml: string): Promise<void> {
  for (const document of readDocuments(yaml, 'test')) {
    if ('error' in document) throw document.error;
    await applyResource(store, document.resource);
  }
}

export interface RoutedClusterOptions {
  store: Datastore;
  count: number;
  kind?: UnderlayKind;
  /** YAML of resources that are there before the agents start. */
  resources: string;
  /** More of the Node of this number, as YAML at the indentation of `bgp:`'s members. */
  bgpOf?: (number: number) => string;
  labelsOf?: (number: number) => string;
}

/** Makes nodes, their Node resources, one pod on each, and starts their agents. */
export async function createRoutedCluster(options: RoutedClusterOptions): Promise<RoutedCluster> {
  const { store, count, kind = 'switched', resources, bgpOf = () => '', labelsOf = () => '{}' } = options;
  const cluster = createCluster(count, kind);
  const nodes: RoutedNode[] = [];
  const routed: RoutedCluster = {
    store,
    nodes,
    cluster,
    async [Symbol.asyncDispose]() {
      for (const node of nodes) {
        await stopAgent(node);
        killBird(node);
        for (const { netns } of node.pods) netns[Symbol.dispose]();
        rmSync(node.stateDir, { recursive: true });
      }
      cluster[Symbol.dispose]();
    },
  };
  try {
    await applyYaml(store, resources);
    for (const node of cluster.nodes) {
      const name = `node-${node.number}`;
      await applyYaml(
        store,
        `{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: ${name}, labels: ${labelsOf(node.number)}}, spec: {bgp: {ipv4Address: ${node.ip}/24${bgpOf(node.number)}}}}`,
      );
      const stateDir = mkdtempSync(join(tmpdir(), 'bgp-test-'));
      nodes.push({ name, node, stateDir, pods: [], bgp: undefined, events: [] });
    }
    for (const node of nodes) await addRoutedPod(store, node);
    for (const node of nodes) startAgent(store, node);
    return routed;
  } catch (error) {
    await routed[Symbol.asyncDispose]();
    throw error;
  }
}

/** Starts the node's agent, with what tests say of passwords. */
export function startAgent(store: Datastore, node: RoutedNode, more: Partial<BgpOptions> = {}): void {
  const { name, stateDir, events } = node;
  node.bgp = startBgp({
    store,
    nodeName: name,
    kernel: node.node.kernel,
    stateDir,
    birdCommand: ['nsenter', `--net=${node.node.netns.pin}`, 'bird'],
    onEvent: (message) => events.push(message),
    onError: (error) => events.push(error.message),
    ...more,
  });
}

/** Ends the agent; BIRD goes on. */
export async function stopAgent(node: RoutedNode): Promise<void> {
  const { bgp } = node;
  node.bgp = undefined;
  await bgp?.[Symbol.asyncDispose]();
}

/** The process of the node's BIRD; undefined when it does not live. */
export function birdPid({ stateDir }: RoutedNode): number | undefined {
  const file = join(stateDir, 'bird.pid');
  if (!existsSync(file)) return undefined;
  const pid = Number(readFileSync(file, 'utf8'));
  const command = existsSync(`/proc/${pid}/cmdline`) ? readFileSync(`/proc/${pid}/cmdline`, 'utf8') : '';
  return pid > 0 && command.includes(stateDir) ? pid : undefined;
}

export function signalBird(node: RoutedNode, signal: NodeJS.Signals): void {
  const pid = birdPid(node);
  if (pid === undefined) throw new Error(`${node.name} has no BIRD`);
  process.kill(pid, signal);
}

function killBird(node: RoutedNode): void {
  if (birdPid(node) !== undefined) signalBird(node, 'SIGKILL');
}

/** Gives the node a pod as the plugin calico makes one: a single address, and a way to everything by the node. */
export async function addRoutedPod(store: Datastore, routed: RoutedNode): Promise<RoutedPod> {
  const { node, name, pods } = routed;
  const handleId = `test.${name}-${pods.length}`;
  const [address] = await createIpam({ store, node: name }).allocate({
    owner: { handleId, attributes: { node: name } },
    ipv4: { count: 1 },
  });
  return addPodWith(routed, { ip: formatIp(address!), handleId, node });
}

/** {@link addRoutedPod} with an address that was taken already. */
export function addPodWith(
  { pods, node }: Pick<RoutedNode, 'pods' | 'node'>,
  { ip, handleId }: { ip: string; handleId: string; node?: TestNode },
): RoutedPod {
  const netns = createTestNetns();
  const link = `cali${pods.length}`;
  node.netns.run('ip', 'link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns.pin);
  node.netns.run('ip', 'link', 'set', link, 'address', HOST_MAC, 'up');
  node.netns.run('ip', 'route', 'add', `${ip}/32`, 'dev', link);
  netns.run('ip', 'link', 'set', 'eth0', 'up');
  netns.run('ip', 'addr', 'add', `${ip}/32`, 'dev', 'eth0');
  netns.run('ip', 'route', 'add', '169.254.1.1', 'dev', 'eth0', 'scope', 'link');
  netns.run('ip', 'route', 'add', 'default', 'via', '169.254.1.1');
  netns.run('ip', 'neigh', 'add', '169.254.1.1', 'lladdr', HOST_MAC, 'dev', 'eth0');
  const pod = { netns, handleId, ip };
  pods.push(pod);
  return pod;
}

/** Takes a pod away and gives its address back; a block that is empty then is given back too. */
export async function removeRoutedPod(store: Datastore, routed: RoutedNode, pod: RoutedPod): Promise<void> {
  await createIpam({ store, node: routed.name }).releaseHandle(pod.handleId);
  pod.netns[Symbol.dispose]();
  routed.pods.splice(routed.pods.indexOf(pod), 1);
}

/** Sessions that BIRD has; none while it does not answer. */
export async function sessionsOf(node: RoutedNode): Promise<SessionState[]> {
  return (await node.bgp?.sessions().catch(() => [])) ?? [];
}

/** Waits until each node has so many sessions, all of them established. */
export async function untilEstablished(nodes: readonly RoutedNode[], count: number): Promise<void> {
  for (const node of nodes) {
    let seen: SessionState[] = [];
    await until(`${node.name} has ${count} sessions`, async () => {
      seen = await sessionsOf(node);
      return (
        seen.length === count &&
        seen.every(({ state, isRestarting }) => state === 'Established' && !isRestarting)
      );
    }).catch((error: Error) => {
      const states = seen.map(({ name, state, lastError }) => `${name} ${state} ${lastError ?? ''}`);
      throw new Error(`${error.message}: ${states.join('; ')}; ${node.events.join('; ')}`);
    });
  }
}

/** Networks that the kernel of the node has routes to from BIRD, with their ways. */
export function birdRoutes({ node }: RoutedNode): Record<string, string> {
  const lines = node.netns.run('ip', '-o', 'route', 'show', 'proto', 'bird').split('\n').filter(Boolean);
  return Object.fromEntries(
    lines.map((line) => [
      line.split(' ')[0]!,
      line
        .replace(/^\S+ /, '')
        .replace(/ proto.*$| metric.*$/, '')
        .trim(),
    ]),
  );
}

/** A route of BIRD's own table. */
export async function birdTable(node: RoutedNode, network: string) {
  const socketPath = join(node.stateDir, 'bird.ctl');
  return parseRoutes(await askBird(`show route ${network} all`, { socketPath }));
}
