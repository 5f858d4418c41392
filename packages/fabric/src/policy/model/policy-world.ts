import { type Cidr, contains, formatIp, type IpAddress } from '@amphipod/netlink';
import {
  type NamedPort,
  type NamespaceResource,
  type NetworkSetResource,
  type PodResource,
  type Resource,
  type ResourceOrigin,
  resourceKey,
  type ServiceAccountResource,
} from '../documents/resources.ts';
import type { Labels } from '../selector/selector.ts';
import { itemLabels } from './item-labels.ts';
import type { ModelPolicy, ModelTier } from './model.ts';
import { standardTiers, translatePolicy, translateTier, undescribedTier } from './translate-policy.ts';

/** What selectors select: a pod with its addresses, or a set of networks. */
export interface Item {
  /** {@link resourceKey} */
  id: string;
  origin: ResourceOrigin;
  labels: Labels;
  /** Of a pod. */
  ips: readonly IpAddress[];
  ports: readonly NamedPort[];
  /** Of a network set. */
  nets: readonly Cidr[];
  /** Policies apply to it here. */
  isLocal: boolean;
}

/** Told what changes. */
export interface WorldListener {
  itemChanged(item: Item): void;
  itemRemoved(id: string): void;
  policyChanged(policy: ModelPolicy): void;
  policyRemoved(key: string): void;
  tiersChanged(): void;
}

/**
 * All that policies are decided by, kept in the form of the model as resources come and go. A change of a namespace or
 * service account is a change of the pods in it.
 */
export class PolicyWorld {
  readonly #resources = new Map<string, Resource>();
  readonly #items = new Map<string, Item>();
  readonly #policies = new Map<string, ModelPolicy>();
  readonly #tiers = new Map<string, ModelTier>(standardTiers().map((tier) => [tier.name, tier]));
  /** Keys of pods and network sets of each namespace. */
  readonly #members = new Map<string, Set<string>>();
  /** Pods by the text of their addresses. */
  readonly #byIp = new Map<string, Set<Item>>();
  readonly #networkSets = new Set<Item>();
  readonly #isLocal: (pod: PodResource) => boolean;
  readonly #listeners: WorldListener[] = [];

  /** @param isLocal tells which pods are on this node; all of them unless given */
  constructor(isLocal: (pod: PodResource) => boolean = () => true) {
    this.#isLocal = isLocal;
  }

  /** Tells a listener all that is there, and from then on what changes. */
  listen(listener: WorldListener): void {
    this.#listeners.push(listener);
    listener.tiersChanged();
    for (const item of this.#items.values()) listener.itemChanged(item);
    for (const policy of this.#policies.values()) listener.policyChanged(policy);
  }

  get items(): Iterable<Item> {
    return this.#items.values();
  }

  get policies(): Iterable<ModelPolicy> {
    return this.#policies.values();
  }

  get resources(): Iterable<Resource> {
    return this.#resources.values();
  }

  /** Also one that nobody has described. */
  tier(name: string): ModelTier {
    return this.#tiers.get(name) ?? undescribedTier(name);
  }

  hasTier(name: string): boolean {
    return this.#tiers.has(name);
  }

  /** Pods and network sets that have the address. */
  itemsAt(ip: IpAddress): Item[] {
    const sets = [...this.#networkSets].filter(({ nets }) => nets.some((net) => contains(net, ip)));
    return [...(this.#byIp.get(formatIp(ip)) ?? []), ...sets];
  }

  put(resource: Resource): void {
    const key = resourceKey(resource.origin);
    this.#resources.set(key, resource);
    this.#change(key, resource);
  }

  /** Fine when there is none. */
  remove(key: string): void {
    const resource = this.#resources.get(key);
    if (resource === undefined) return;
    this.#resources.delete(key);
    switch (resource.type) {
      case 'pod':
      case 'network-set':
        this.#members.get(resource.origin.namespace ?? '')?.delete(key);
        this.#removeItem(key);
        break;
      case 'namespace':
        this.#refresh(resource.origin.name);
        break;
      case 'service-account':
        this.#refresh(resource.origin.namespace!);
        break;
      case 'tier':
        this.#resetTier(resource.origin.name);
        break;
      default:
        this.#removePolicy(key);
    }
  }

  #change(key: string, resource: Resource): void {
    switch (resource.type) {
      case 'pod':
      case 'network-set': {
        const { namespace = '' } = resource.origin;
        const members = this.#members.get(namespace) ?? new Set();
        this.#members.set(namespace, members.add(key));
        this.#putItem(key, resource);
        break;
      }
      case 'namespace':
        this.#refresh(resource.origin.name);
        break;
      case 'service-account':
        this.#refresh(resource.origin.namespace!);
        break;
      case 'tier':
        this.#tiers.set(resource.origin.name, translateTier(resource));
        for (const listener of this.#listeners) listener.tiersChanged();
        break;
      default: {
        const policy = translatePolicy(resource);
        if (policy === undefined) {
          this.#removePolicy(key);
          return;
        }
        this.#policies.set(key, policy);
        for (const listener of this.#listeners) listener.policyChanged(policy);
      }
    }
  }

  #removePolicy(key: string): void {
    if (!this.#policies.delete(key)) return;
    for (const listener of this.#listeners) listener.policyRemoved(key);
  }

  #resetTier(name: string): void {
    const standard = standardTiers().find((tier) => tier.name === name);
    if (standard === undefined) this.#tiers.delete(name);
    else this.#tiers.set(name, standard);
    for (const listener of this.#listeners) listener.tiersChanged();
  }

  #refresh(namespace: string): void {
    for (const key of this.#members.get(namespace) ?? []) {
      const resource = this.#resources.get(key);
      if (resource?.type === 'pod' || resource?.type === 'network-set') this.#putItem(key, resource);
    }
  }

  #putItem(key: string, resource: PodResource | NetworkSetResource): void {
    const isPod = resource.type === 'pod';
    // The node itself is not selected, and who has ended has no address.
    if (isPod && (resource.isHostNetwork || resource.isFinished)) {
      this.#removeItem(key);
      return;
    }
    const item: Item = {
      id: key,
      origin: resource.origin,
      labels: this.#labelsOf(resource),
      ips: isPod ? resource.ips : [],
      ports: isPod ? resource.ports : [],
      nets: isPod ? [] : resource.nets,
      isLocal: isPod && this.#isLocal(resource),
    };
    this.#forget(key);
    this.#items.set(key, item);
    if (!isPod) this.#networkSets.add(item);
    for (const ip of item.ips) {
      const text = formatIp(ip);
      this.#byIp.set(text, (this.#byIp.get(text) ?? new Set()).add(item));
    }
    for (const listener of this.#listeners) listener.itemChanged(item);
  }

  #removeItem(key: string): void {
    if (!this.#forget(key)) return;
    for (const listener of this.#listeners) listener.itemRemoved(key);
  }

  #forget(key: string): boolean {
    const item = this.#items.get(key);
    if (item === undefined) return false;
    this.#items.delete(key);
    this.#networkSets.delete(item);
    for (const text of item.ips.map(formatIp)) {
      const there = this.#byIp.get(text);
      there?.delete(item);
      if (there?.size === 0) this.#byIp.delete(text);
    }
    return true;
  }

  #labelsOf(resource: PodResource | NetworkSetResource): Labels {
    const { namespace } = resource.origin;
    const { labels } = resource;
    if (namespace === undefined) return itemLabels({ kind: 'network-set', labels });
    const namespaceLabels = this.#find<NamespaceResource>({ kind: 'Namespace', name: namespace })?.labels;
    const common = { labels, namespace, ...(namespaceLabels && { namespaceLabels }) };
    if (resource.type === 'network-set') return itemLabels({ kind: 'network-set', ...common });
    const name = resource.serviceAccount;
    const account = this.#find<ServiceAccountResource>({ kind: 'ServiceAccount', namespace, name });
    return itemLabels({
      kind: 'pod',
      ...common,
      serviceAccount: name,
      ...(account && { serviceAccountLabels: account.labels }),
    });
  }

  #find<T extends Resource>(origin: Pick<ResourceOrigin, 'kind' | 'name' | 'namespace'>): T | undefined {
    return this.#resources.get(resourceKey({ ...origin, group: 'core' })) as T | undefined;
  }
}
