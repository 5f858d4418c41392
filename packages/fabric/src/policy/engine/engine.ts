import { formatIp, type IpAddress, type IpFamily } from '@amphipod/netlink';
import type { Direction } from '../documents/resources.ts';
import { comparePolicies, compareTiers, type ModelPolicy, type TierPolicies } from '../model/model.ts';
import type { Item, PolicyWorld, WorldListener } from '../model/policy-world.ts';
import { type CompiledChain, compileProgram } from './compile-program.ts';
import { ipFamilies } from './policy-table.ts';
import { type ElementChanges, RuleSets } from './rule-sets.ts';
import { type MemberSink, SelectorIndex } from './selector-index.ts';

/** Where packets of an address go. */
export interface DispatchEntry {
  direction: Direction;
  ip: IpAddress;
  chain: string;
}

/** The rules as they are wanted. */
export interface WantedRules {
  sets: readonly Pick<ElementChanges, 'set' | 'added'>[];
  chains: readonly CompiledChain[];
  dispatch: readonly DispatchEntry[];
  /** Addresses of pods here. */
  own: readonly IpAddress[];
}

/** What is to be done to the rules of before. */
export interface RuleChanges {
  sets: ReturnType<RuleSets['takeChanges']>;
  chains: { added: CompiledChain[]; removed: string[] };
  dispatch: { added: DispatchEntry[]; removed: DispatchEntry[] };
  own: { added: IpAddress[]; removed: IpAddress[] };
}

interface Policy extends MemberSink {
  policy: ModelPolicy;
  /** Another one for each version. */
  serial: number;
}

/** Chains for one list of policies, shared by all pods that have just these. */
interface Program {
  uses: number;
  chains: readonly string[];
  /** Where to begin. */
  entry: string;
  sets: readonly string[];
}

/** A pod of this node. */
interface LocalPod {
  item: Item;
  policies: Set<Policy>;
  /** In the dispatch maps, by direction and address. */
  dispatch: Map<string, DispatchEntry & { program: string }>;
  own: Map<string, IpAddress>;
}

/**
 * Works the wanted rules out, as far as something has changed: a pod that comes, goes or is relabelled costs what it touches,
 * whatever else there is.
 */
export class PolicyEngine implements WorldListener {
  readonly #world: PolicyWorld;
  /** What policies apply to: the pods of this node. */
  readonly #subjects = new SelectorIndex();
  /** What rules talk about: everything. */
  readonly #peers = new SelectorIndex();
  readonly #sets = new RuleSets(this.#peers);
  readonly #policies = new Map<string, Policy>();
  readonly #pods = new Map<string, LocalPod>();
  readonly #dirty = new Set<LocalPod>();
  readonly #programs = new Map<string, Program>();
  readonly #chains = new Map<string, { chain: CompiledChain; uses: number }>();
  #serial = 0;
  #changes = emptyChanges();

  constructor(world: PolicyWorld) {
    this.#world = world;
    world.listen(this);
  }

  itemChanged(item: Item): void {
    this.#peers.put(item);
    const pod = this.#pods.get(item.id);
    if (item.isLocal) {
      if (pod !== undefined) pod.item = item;
      else this.#pods.set(item.id, { item, policies: new Set(), dispatch: new Map(), own: new Map() });
      this.#dirty.add(this.#pods.get(item.id)!);
      this.#subjects.put(item);
    } else if (pod !== undefined) this.#removePod(pod);
  }

  itemRemoved(id: string): void {
    this.#peers.remove(id);
    const pod = this.#pods.get(id);
    if (pod !== undefined) this.#removePod(pod);
  }

  policyChanged(policy: ModelPolicy): void {
    this.policyRemoved(policy.key);
    const entry: Policy = {
      policy,
      serial: ++this.#serial,
      memberChanged: (before, after) => {
        const pod = this.#pods.get((after ?? before)!.id)!;
        if (after === undefined) pod.policies.delete(entry);
        else pod.policies.add(entry);
        this.#dirty.add(pod);
      },
    };
    this.#policies.set(policy.key, entry);
    this.#subjects.subscribe(policy.subject, entry);
  }

  policyRemoved(key: string): void {
    const entry = this.#policies.get(key);
    if (entry === undefined) return;
    this.#policies.delete(key);
    this.#subjects.unsubscribe(entry.policy.subject, entry);
    for (const pod of this.#pods.values()) if (pod.policies.delete(entry)) this.#dirty.add(pod);
  }

  tiersChanged(): void {
    for (const pod of this.#pods.values()) this.#dirty.add(pod);
  }

  /** What has changed since the last call. */
  takeChanges(): RuleChanges {
    for (const pod of this.#dirty) this.#refresh(pod);
    this.#dirty.clear();
    // What went and came back in between stays.
    for (const [key, program] of this.#programs) if (program.uses === 0) this.#dropProgram(key, program);
    const sets = this.#sets.takeChanges();
    const changes = this.#changes;
    this.#changes = emptyChanges();
    return { ...changes, sets };
  }

  /** All rules, as of the last {@link takeChanges}. */
  wanted(): WantedRules {
    const pods = [...this.#pods.values()];
    return {
      sets: this.#sets.all().map(({ set, elements }) => ({ set, added: elements })),
      chains: [...this.#chains.values()].map(({ chain }) => chain),
      dispatch: pods.flatMap(({ dispatch }) => [...dispatch.values()]),
      own: pods.flatMap(({ own }) => [...own.values()]),
    };
  }

  /** The policies that apply to a pod of this node, in order; undefined for others. */
  policiesOf(id: string, direction: Direction): readonly TierPolicies[] | undefined {
    const pod = this.#pods.get(id);
    return pod && this.#tiersOf(pod, direction);
  }

  #removePod(pod: LocalPod): void {
    this.#subjects.remove(pod.item.id);
    this.#pods.delete(pod.item.id);
    this.#dirty.delete(pod);
    for (const entry of pod.dispatch.values()) this.#withdraw(entry);
    this.#changes.own.removed.push(...pod.own.values());
  }

  #refresh(pod: LocalPod): void {
    this.#refreshOwn(pod);
    const wanted = new Map<string, DispatchEntry & { program: string }>();
    for (const direction of ['egress', 'ingress'] as const) {
      const tiers = this.#tiersOf(pod, direction);
      if (tiers.length === 0) continue;
      for (const family of ipFamilies) {
        const ips = pod.item.ips.filter((ip) => ip.family === family);
        if (ips.length === 0) continue;
        const program = this.#useProgram(tiers, direction, family);
        const { entry } = this.#programs.get(program)!;
        for (const ip of ips)
          wanted.set(`${direction} ${formatIp(ip)}`, { direction, ip, chain: entry, program });
      }
    }
    for (const entry of wanted.values()) this.#programs.get(entry.program)!.uses++;
    for (const [key, entry] of pod.dispatch) {
      const next = wanted.get(key);
      this.#programs.get(entry.program)!.uses--;
      if (next?.chain !== entry.chain) this.#changes.dispatch.removed.push(entry);
    }
    for (const [key, entry] of wanted) {
      if (pod.dispatch.get(key)?.chain !== entry.chain) this.#changes.dispatch.added.push(entry);
    }
    pod.dispatch = wanted;
  }

  #refreshOwn(pod: LocalPod): void {
    const own = new Map(pod.item.ips.map((ip) => [formatIp(ip), ip]));
    for (const [text, ip] of own) if (!pod.own.has(text)) this.#changes.own.added.push(ip);
    for (const [text, ip] of pod.own) if (!own.has(text)) this.#changes.own.removed.push(ip);
    pod.own = own;
  }

  #withdraw(entry: DispatchEntry & { program: string }): void {
    this.#changes.dispatch.removed.push(entry);
    this.#programs.get(entry.program)!.uses--;
  }

  #tiersOf({ policies }: LocalPod, direction: Direction): (TierPolicies & { key: string })[] {
    const applying = [...policies].filter(({ policy }) => policy.rules[direction] !== undefined);
    return [...Map.groupBy(applying, ({ policy }) => policy.tier)]
      .map(([name, members]) => {
        const tier = this.#world.tier(name);
        const sorted = members.toSorted((a, b) => comparePolicies(a.policy, b.policy));
        return {
          tier,
          policies: sorted.map(({ policy }) => policy),
          key: `${tier.name}:${tier.defaultAction}:${sorted.map(({ serial }) => serial).join(',')}`,
        };
      })
      .toSorted((a, b) => compareTiers(a.tier, b.tier));
  }

  /** The key of the program; it has one use more only when the caller counts it. */
  #useProgram(
    tiers: readonly (TierPolicies & { key: string })[],
    direction: Direction,
    family: IpFamily,
  ): string {
    const key = `${direction}${family} ${tiers.map((tier) => tier.key).join(' ')}`;
    if (this.#programs.has(key)) return key;
    const sets: string[] = [];
    const chains = compileProgram(tiers, direction, {
      family,
      useSet: (definition) => {
        const name = this.#sets.use(definition);
        sets.push(name);
        return name;
      },
    });
    for (const chain of chains) {
      const there = this.#chains.get(chain.chain);
      if (there !== undefined) there.uses++;
      else this.#addChain(chain);
    }
    const names = chains.map(({ chain }) => chain);
    this.#programs.set(key, { uses: 0, chains: names, entry: names.at(-1)!, sets });
    return key;
  }

  #addChain(chain: CompiledChain): void {
    this.#chains.set(chain.chain, { chain, uses: 1 });
    const { removed, added } = this.#changes.chains;
    const index = removed.indexOf(chain.chain);
    if (index >= 0) removed.splice(index, 1);
    else added.push(chain);
  }

  #dropProgram(key: string, { chains, sets }: Program): void {
    this.#programs.delete(key);
    for (const name of sets) this.#sets.release(name);
    for (const name of chains) {
      const there = this.#chains.get(name)!;
      if (--there.uses > 0) continue;
      this.#chains.delete(name);
      const { removed, added } = this.#changes.chains;
      const index = added.findIndex(({ chain }) => chain === name);
      if (index >= 0) added.splice(index, 1);
      else removed.push(name);
    }
  }
}

function emptyChanges(): Omit<RuleChanges, 'sets'> {
  return {
    chains: { added: [], removed: [] },
    dispatch: { added: [], removed: [] },
    own: { added: [], removed: [] },
  };
}
