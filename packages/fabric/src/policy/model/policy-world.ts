import { type Cidr, contains, formatIp, type IpAddress } from '@amphipod/netlink';
import type { Labels } from '../../selector/selector.ts';
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
  /** Keys of the pods that say they have an address, by its text; it belongs to the last of them. */
  readonly #claims = new Map<string, string[]>();
  /** The other way round. */
  readonly #claimed = new Map<string, Set<string>>();
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
    const owner = this.#ownerOf(ip);
    const pod = owner === undefined ? undefined : this.#items.get(owner);
    return pod === undefined ? sets : [pod, ...sets];
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
    for (const key of this.#members.get(namespace) ?? []) this.#refreshItem(key);
  }

  #putItem(key: string, resource: PodResource | NetworkSetResource): void {
    const isPod = resource.type === 'pod';
    // The node itself is not selected, and who has ended has no address.
    if (isPod && (resource.isHostNetwork || resource.isFinished)) {
      this.#removeItem(key);
      return;
    }
    const losers = isPod ? this.#claim(key, resource.ips) : [];
    const item: Item = {
      id: key,
      origin: resource.origin,
      labels: this.#labelsOf(resource),
      ips: isPod ? resource.ips.filter((ip) => this.#ownerOf(ip) === key) : [],
      ports: isPod ? resource.ports : [],
      nets: isPod ? [] : resource.nets,
      isLocal: isPod && this.#isLocal(resource),
    };
    if (!isPod) {
      const before = this.#items.get(key);
      if (before !== undefined) this.#networkSets.delete(before);
      this.#networkSets.add(item);
    }
    // Who had an address before loses it first.
    for (const loser of losers) this.#refreshItem(loser);
    this.#items.set(key, item);
    for (const listener of this.#listeners) listener.itemChanged(item);
  }

  #removeItem(key: string): void {
    const item = this.#items.get(key);
    if (item === undefined) return;
    this.#items.delete(key);
    this.#networkSets.delete(item);
    for (const listener of this.#listeners) listener.itemRemoved(key);
    for (const heir of this.#claim(key, [])) this.#refreshItem(heir);
  }

  #ownerOf(ip: IpAddress): string | undefined {
    return this.#claims.get(formatIp(ip))?.at(-1);
  }

  /** Notes down which addresses a pod says it has; gives the other pods that have some more or less by it. */
  #claim(key: string, ips: readonly IpAddress[]): Set<string> {
    const wanted = new Set(ips.map(formatIp));
    const held = this.#claimed.get(key) ?? new Set<string>();
    const others = new Set<string>();
    for (const text of held.difference(wanted)) {
      const claims = this.#claims.get(text)!.filter((one) => one !== key);
      const isOwner = this.#claims.get(text)!.at(-1) === key;
      if (claims.length === 0) this.#claims.delete(text);
      else this.#claims.set(text, claims);
      if (isOwner && claims.length > 0) others.add(claims.at(-1)!);
    }
    for (const text of wanted.difference(held)) {
      const claims = this.#claims.get(text) ?? [];
      if (claims.length > 0) others.add(claims.at(-1)!);
      this.#claims.set(text, [...claims, key]);
    }
    if (wanted.size === 0) this.#claimed.delete(key);
    else this.#claimed.set(key, wanted);
    return others;
  }

  #refreshItem(key: string): void {
    const resource = this.#resources.get(key);
    if (resource?.type === 'pod' || resource?.type === 'network-set') this.#putItem(key, resource);
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
