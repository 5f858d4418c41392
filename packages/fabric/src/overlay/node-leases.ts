import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { isCode } from '@amphipod/linux';
import { type Cidr, contains, formatCidr } from '@amphipod/netlink';
import type { CallOptions } from '../datastore/datastore.ts';
import { FabricError } from '../errors.ts';
import { KubernetesApiError } from '../kubernetes/api-error.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import { type Collection, listObjects } from '../kubernetes/list-objects.ts';
import { watchObjects } from '../kubernetes/watch-objects.ts';
import { type Lease, type LeaseAttributes, leaseName } from './lease.ts';
import type {
  AcquireOptions,
  LeaseChange,
  LeaseStore,
  LeasesEvent,
  LeasesSnapshot,
  OwnLease,
  WatchLeasesOptions,
} from './lease-store.ts';
import type { FamilyNetwork, NetworkConfig } from './network-config.ts';
import {
  type AnnotationKeys,
  annotationKeys,
  annotationsOf,
  type KubernetesNode,
  leaseOfNode,
  podSubnets,
  withOverwrites,
} from './node-lease.ts';

const NODES = '/api/v1/nodes';
const CONFLICTS = 10;
const CONFLICT_DELAY_MS = 50;

export interface PodName {
  namespace: string;
  name: string;
}

export interface NodeLeasesOptions {
  client: KubernetesClient;
  /** The name of this node, or the pod that we run in, which knows it. */
  node: string | PodName;
  /** `flannel.alpha.coreos.com` unless given. */
  annotationPrefix?: string;
}

/**
 * Leases in the nodes of a Kubernetes cluster, as flannel keeps them there: the subnets are the `podCIDRs` that the cluster gives each
 * node, the rest is in annotations. A lease lives as long as its node, and nobody gives one back.
 * @throws FabricError `invalid-config`
 */
export function openNodeLeases(options: NodeLeasesOptions): LeaseStore {
  return new NodeLeases(options);
}

class NodeLeases implements LeaseStore {
  readonly #options: NodeLeasesOptions;
  readonly #keys: AnnotationKeys;
  readonly #nodes: Collection<KubernetesNode, Lease | undefined>;
  #isReady = false;
  /** Once the pod has told it. */
  #name: string | undefined;

  constructor(options: NodeLeasesOptions) {
    const { client, annotationPrefix = 'flannel.alpha.coreos.com' } = options;
    this.#options = options;
    const keys = annotationKeys(annotationPrefix);
    this.#keys = keys;
    this.#nodes = { client, path: NODES, read: (node) => leaseOfNode(node, keys) };
  }

  async acquire(config: NetworkConfig, { attributes, signal }: AcquireOptions): Promise<OwnLease> {
    const node = await this.#getNode(signal);
    const subnets = subnetsFor(config, node);
    const told = withOverwrites(attributes, node, this.#keys);
    await this.#annotate(node, told, signal);
    return { id: node.metadata.name, lease: { ...subnets, attributes: told }, expires: false };
  }

  async renew(own: OwnLease, { signal }: CallOptions = {}): Promise<OwnLease | undefined> {
    const node = await this.#getNode(signal);
    if (!isSubnetsOf(own.lease, givenSubnets(node))) return undefined;
    await this.#annotate(node, own.lease.attributes, signal);
    // A node that was made anew knows nothing of its network.
    if (this.#isReady && !isAvailable(node)) await this.#setCondition(signal);
    return own;
  }

  /** The cluster gave the subnets, and the node keeps them. */
  async release(): Promise<void> {}

  async announceReady({ signal }: CallOptions = {}): Promise<void> {
    await this.#setCondition(signal);
    this.#isReady = true;
  }

  async list({ signal }: CallOptions = {}): Promise<LeasesSnapshot> {
    const { objects, revision } = await listObjects(this.#nodes, { signal });
    return { leases: withLease(objects), revision };
  }

  async *watch({
    fromRevision,
    signal = new AbortController().signal,
    onConnection,
  }: WatchLeasesOptions = {}): AsyncGenerator<LeasesEvent, void> {
    // Most changes of a node do not concern its lease: the kubelet writes to each every few minutes.
    const told = new Map<string, Lease | undefined>();
    for await (const event of watchObjects(this.#nodes, { fromRevision, signal, onConnection })) {
      if (event.type === 'snapshot') {
        told.clear();
        for (const [name, lease] of event.objects) told.set(name, lease);
        yield { type: 'snapshot', leases: withLease(event.objects), revision: event.revision };
      } else if (event.type === 'delete') {
        told.delete(event.name);
        yield { type: 'changes', changes: [{ type: 'delete', id: event.name }] };
      } else {
        const { name, object: lease } = event;
        if (told.has(name) && isDeepStrictEqual(told.get(name), lease)) continue;
        told.set(name, lease);
        const change: LeaseChange =
          lease === undefined ? { type: 'delete', id: name } : { type: 'put', id: name, lease };
        yield { type: 'changes', changes: [change] };
      }
    }
  }

  async #nodeName(signal: AbortSignal | undefined): Promise<string> {
    const { client, node } = this.#options;
    if (typeof node === 'string') return node;
    if (this.#name !== undefined) return this.#name;
    const what = `find the node of pod ${JSON.stringify(`${node.namespace}/${node.name}`)}`;
    const path = `/api/v1/namespaces/${encodeURIComponent(node.namespace)}/pods/${encodeURIComponent(node.name)}`;
    const pod = await client.get<{ spec?: { nodeName?: string } }>({ what, path, signal });
    this.#name = pod.spec?.nodeName;
    if (this.#name === undefined) throw new FabricError('unavailable', `${what}: it has none yet`);
    return this.#name;
  }

  /** @throws FabricError `unavailable` while there is no such node */
  async #getNode(signal: AbortSignal | undefined): Promise<KubernetesNode> {
    const name = await this.#nodeName(signal);
    const what = `get node ${JSON.stringify(name)}`;
    try {
      return await this.#options.client.get<KubernetesNode>({ what, path: pathOf(name), signal });
    } catch (error) {
      // It comes when its kubelet registers it.
      if (!(error instanceof KubernetesApiError) || error.status !== 404) throw error;
      throw new FabricError('unavailable', `${what}: the cluster has no such node`, { cause: error });
    }
  }

  /** Says that the node's network is there, as flannel does. */
  async #setCondition(signal: AbortSignal | undefined): Promise<void> {
    const now = new Date().toISOString().replace(/\.\d+/, '');
    const condition = {
      type: 'NetworkUnavailable',
      status: 'False',
      reason: 'FlannelIsUp',
      message: 'Flannel is running on this node',
      lastHeartbeatTime: now,
      lastTransitionTime: now,
    };
    await this.#patchStatus('set condition of', { status: { conditions: [condition] } }, signal);
  }

  /** Writes those annotations that are not as they ought to be. */
  async #annotate(
    { metadata }: KubernetesNode,
    attributes: LeaseAttributes,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const wanted = Object.entries(annotationsOf(attributes, this.#keys));
    const wrong = wanted.filter(([key, value]) => (metadata.annotations?.[key] ?? null) !== value);
    if (wrong.length === 0) return;
    const annotations = Object.fromEntries(wrong);
    await this.#patchStatus('annotate', { metadata: { annotations } }, signal);
  }

  /** Through the node's status, for which alone flannel's roles have the right to write. */
  async #patchStatus(verb: string, body: object, signal: AbortSignal | undefined): Promise<void> {
    const name = await this.#nodeName(signal);
    const what = `${verb} node ${JSON.stringify(name)}`;
    for (let tries = 1; ; tries++) {
      try {
        await this.#options.client.patch({ what, path: `${pathOf(name)}/status`, body, signal });
        return;
      } catch (error) {
        // The server gives up when others keep changing the node meanwhile. We change what is ours alone.
        if (!isCode(error, 'conflict') || tries === CONFLICTS) throw error;
        await delay(CONFLICT_DELAY_MS * tries, undefined, { signal });
      }
    }
  }
}

/** @throws FabricError `unavailable` while there are none, `invalid-config` for such as do not fit */
function subnetsFor(
  { ipv4, ipv6 }: NetworkConfig,
  node: KubernetesNode,
): Pick<Lease, 'subnet' | 'ipv6Subnet'> {
  const given = givenSubnets(node);
  const check = (subnet: Cidr | undefined, network: FamilyNetwork | undefined, key: string) => {
    if (network === undefined) return undefined;
    if (subnet !== undefined && isWithin(subnet, network.network)) return subnet;
    const wanted = `${key} ${formatCidr(network.network)} of the network config`;
    const why =
      subnet === undefined
        ? `has no podCIDR of the family of ${wanted}`
        : `has podCIDR ${formatCidr(subnet)}, which is not in ${wanted}`;
    throw new FabricError(
      'invalid-config',
      `find subnets: node ${JSON.stringify(node.metadata.name)} ${why}`,
    );
  };
  const subnet = check(given.subnet, ipv4, 'Network');
  const ipv6Subnet = check(given.ipv6Subnet, ipv6, 'IPv6Network');
  return { ...(subnet && { subnet }), ...(ipv6Subnet && { ipv6Subnet }) };
}

/** @throws FabricError `unavailable` while the cluster has given the node none */
function givenSubnets({ metadata, spec }: KubernetesNode): Pick<Lease, 'subnet' | 'ipv6Subnet'> {
  const subnets = podSubnets(spec);
  if (subnets !== undefined) return subnets;
  const why =
    'has no podCIDR yet; the controller manager gives one when it has --allocate-node-cidrs and --cluster-cidr';
  throw new FabricError('unavailable', `find subnets: node ${JSON.stringify(metadata.name)} ${why}`);
}

function pathOf(nodeName: string): string {
  return `${NODES}/${encodeURIComponent(nodeName)}`;
}

function withLease(objects: ReadonlyMap<string, Lease | undefined>): Map<string, Lease> {
  return new Map([...objects].flatMap(([name, lease]) => (lease === undefined ? [] : [[name, lease]])));
}

/** True when the node still has the subnets of the lease; it may have one of a family that the overlay does not use. */
function isSubnetsOf(lease: Lease, { subnet, ipv6Subnet }: Pick<Lease, 'subnet' | 'ipv6Subnet'>): boolean {
  const has = leaseName({
    ...(lease.subnet && subnet && { subnet }),
    ...(lease.ipv6Subnet && ipv6Subnet && { ipv6Subnet }),
  });
  return has === leaseName(lease);
}

function isAvailable({ status }: KubernetesNode): boolean {
  const conditions = status?.conditions ?? [];
  return conditions.some(
    (condition) => condition.type === 'NetworkUnavailable' && condition.status === 'False',
  );
}

function isWithin(subnet: Cidr, network: Cidr): boolean {
  return subnet.prefix >= network.prefix && contains(network, subnet.ip);
}
