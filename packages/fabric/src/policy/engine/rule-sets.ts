import { hash } from 'node:crypto';
import {
  formatIp,
  type IpAddress,
  type IpFamily,
  type NftElement,
  type NftSet,
  type NftValueType,
} from '@amphipod/netlink';
import { formatSelector, type Selector } from '../../selector/selector.ts';
import { KIND } from '../model/item-labels.ts';
import type { Item } from '../model/policy-world.ts';
import { policyTable } from './policy-table.ts';
import { blockRanges, type Range } from './ranges.ts';
import type { MemberSink, SelectorIndex } from './selector-index.ts';

/** What a set of the rules holds. */
export type SetDefinition =
  /** Addresses of what matches one of the selectors. */
  | { holds: 'members'; family: IpFamily; selectors: readonly Selector[] }
  /** Address, protocol and number of a named port of what matches one of the selectors. */
  | { holds: 'named-port'; family: IpFamily; selectors: readonly Selector[]; protocol: number; port: string }
  | { holds: 'addresses'; family: IpFamily; ranges: readonly Range<IpAddress>[] }
  | { holds: 'ports'; ranges: readonly Range<number>[] };

export interface ElementChanges {
  set: NftSet;
  added: NftElement[];
  removed: NftElement[];
}

/** A set that rules refer to by its name, which follows from its definition. */
interface RuleSet {
  set: NftSet;
  uses: number;
  /** Elements that came and went since the last call. */
  takeChanges(): Omit<ElementChanges, 'set'>;
  elements(): NftElement[];
  end(): void;
}

const addressTypes = { 4: 'ipv4_addr', 6: 'ipv6_addr' } as const;

/** The sets that are in use, and what has changed of them since it was last asked. */
export class RuleSets {
  readonly #index: SelectorIndex;
  readonly #sets = new Map<string, RuleSet>();
  readonly #added = new Set<string>();
  readonly #dirty = new Set<string>();
  /** Sets without uses, until it is sure that nobody wants them again in the same step. */
  readonly #unused = new Set<string>();

  constructor(index: SelectorIndex) {
    this.#index = index;
  }

  /** The name of the set; each use is to be given back with {@link release}. */
  use(definition: SetDefinition): string {
    const name = nameOf(definition);
    let found = this.#sets.get(name);
    if (found === undefined) {
      found = this.#create(name, definition);
      this.#sets.set(name, found);
      this.#added.add(name);
    }
    found.uses++;
    this.#unused.delete(name);
    return name;
  }

  release(name: string): void {
    const found = this.#sets.get(name)!;
    if (--found.uses === 0) this.#unused.add(name);
  }

  /** New sets with all of their elements, sets that nobody needs any more, and changes of the others. */
  takeChanges(): { added: ElementChanges[]; changed: ElementChanges[]; removed: NftSet[] } {
    const removed: NftSet[] = [];
    for (const name of this.#unused) {
      const found = this.#sets.get(name)!;
      found.end();
      this.#sets.delete(name);
      this.#dirty.delete(name);
      if (!this.#added.delete(name)) removed.push(found.set);
    }
    this.#unused.clear();
    const take = (name: string) => {
      const found = this.#sets.get(name)!;
      return { set: found.set, ...found.takeChanges() };
    };
    const added = [...this.#added].map(take);
    const changed = [...this.#dirty].filter((name) => !this.#added.has(name)).map(take);
    this.#added.clear();
    this.#dirty.clear();
    return { added, changed: changed.filter(hasChanges), removed };
  }

  /** All sets with all elements, as they are after the last {@link takeChanges}. */
  all(): { set: NftSet; elements: NftElement[] }[] {
    return [...this.#sets.values()].map((one) => ({ set: one.set, elements: one.elements() }));
  }

  #create(name: string, definition: SetDefinition): RuleSet {
    const touch = () => this.#dirty.add(name);
    switch (definition.holds) {
      case 'members': {
        const { family, selectors } = definition;
        const key = [addressTypes[family]];
        if (selectors.every(isPodsOnly)) {
          const set = setOf(name, { key });
          return this.#follow(
            selectors,
            new CountedSet({ set, touch, elementsOf: (item) => addresses(item, family) }),
          );
        }
        const set = setOf(name, { key, hasIntervals: true });
        return this.#follow(selectors, new RangeSet({ set, touch, family }));
      }
      case 'named-port': {
        const { family, selectors } = definition;
        const set = setOf(name, { key: [addressTypes[family], 'inet_proto', 'inet_service'] });
        const elementsOf = (item: Item) => namedPorts(item, definition);
        return this.#follow(selectors, new CountedSet({ set, touch, elementsOf }));
      }
      case 'addresses': {
        const set = setOf(name, { key: [addressTypes[definition.family]], hasIntervals: true });
        return constantSet(set, definition.ranges);
      }
      case 'ports':
        return constantSet(setOf(name, { key: ['inet_service'], hasIntervals: true }), definition.ranges);
    }
  }

  #follow(selectors: readonly Selector[], set: CountedSet | RangeSet): RuleSet {
    for (const selector of selectors) this.#index.subscribe(selector, set);
    return Object.assign(set, {
      end: () => {
        for (const selector of selectors) this.#index.unsubscribe(selector, set);
      },
    });
  }
}

function hasChanges({ added, removed }: ElementChanges): boolean {
  return added.length > 0 || removed.length > 0;
}

/** Network sets, which hold more than single addresses, cannot match it. */
function isPodsOnly(selector: Selector): boolean {
  const parts = selector.is === 'and' ? selector.of : [selector];
  return parts.some((part) => part.is === 'equal' && part.key === KIND && part.value === 'pod');
}

function nameOf(definition: SetDefinition): string {
  const digest = (parts: readonly string[]) => hash('sha256', parts.join('\n')).slice(0, 16);
  switch (definition.holds) {
    case 'members':
      return `members${definition.family}-${digest(definition.selectors.map(formatSelector).toSorted())}`;
    case 'named-port': {
      const { family, selectors, protocol, port } = definition;
      return `ports${family}-${digest([`${protocol} ${port}`, ...selectors.map(formatSelector).toSorted()])}`;
    }
    case 'addresses':
      return `nets${definition.family}-${digest(definition.ranges.map(({ first, last }) => `${first.value} ${last.value}`))}`;
    case 'ports':
      return `ports-${digest(definition.ranges.map(({ first, last }) => `${first} ${last}`))}`;
  }
}

function setOf(name: string, rest: { key: readonly NftValueType[]; hasIntervals?: boolean }): NftSet {
  return { object: 'set', ...policyTable, set: name, ...rest };
}

function constantSet(set: NftSet, ranges: readonly Range<IpAddress | number>[]): RuleSet {
  const elements = ranges.map(({ first, last }) => ({ key: [first], keyEnd: [last] }));
  return {
    set,
    uses: 0,
    takeChanges: () => ({ added: elements, removed: [] }),
    elements: () => elements,
    end() {},
  };
}

type KeyedElement = [text: string, element: NftElement];

function addresses({ ips }: Item, family: IpFamily): KeyedElement[] {
  return ips.filter((ip) => ip.family === family).map((ip) => [formatIp(ip), { key: [ip] }]);
}

function namedPorts(
  { ips, ports }: Item,
  { family, protocol, port }: { family: IpFamily; protocol: number; port: string },
): KeyedElement[] {
  const numbers = ports
    .filter((one) => one.name === port && one.protocol === protocol)
    .map((one) => one.port);
  return ips
    .filter((ip) => ip.family === family)
    .flatMap((ip) =>
      [...new Set(numbers)].map(
        (number): KeyedElement => [`${formatIp(ip)} ${number}`, { key: [ip, protocol, number] }],
      ),
    );
}

/** Elements of members, each as long as there is a member that it comes from. */
class CountedSet implements MemberSink {
  readonly set: NftSet;
  uses = 0;
  readonly #touch: () => void;
  readonly #elementsOf: (item: Item) => KeyedElement[];
  readonly #there = new Map<string, { element: NftElement; count: number }>();
  readonly #added = new Map<string, NftElement>();
  readonly #removed = new Map<string, NftElement>();

  constructor({
    set,
    touch,
    elementsOf,
  }: { set: NftSet; touch: () => void; elementsOf: (item: Item) => KeyedElement[] }) {
    this.set = set;
    this.#touch = touch;
    this.#elementsOf = elementsOf;
  }

  memberChanged(before: Item | undefined, after: Item | undefined): void {
    if (after !== undefined) for (const [text, element] of this.#elementsOf(after)) this.#add(text, element);
    if (before !== undefined) for (const [text] of this.#elementsOf(before)) this.#remove(text);
  }

  takeChanges(): Omit<ElementChanges, 'set'> {
    const changes = { added: [...this.#added.values()], removed: [...this.#removed.values()] };
    this.#added.clear();
    this.#removed.clear();
    return changes;
  }

  elements(): NftElement[] {
    return [...this.#there.values()].map(({ element }) => element);
  }

  #add(text: string, element: NftElement): void {
    const there = this.#there.get(text);
    if (there !== undefined) {
      there.count++;
      return;
    }
    this.#there.set(text, { element, count: 1 });
    // What goes and comes back has not changed.
    if (!this.#removed.delete(text)) this.#added.set(text, element);
    this.#touch();
  }

  #remove(text: string): void {
    const there = this.#there.get(text)!;
    if (--there.count > 0) return;
    this.#there.delete(text);
    if (!this.#added.delete(text)) this.#removed.set(text, there.element);
    this.#touch();
  }
}

/** Addresses and networks of members as ranges, because the kernel takes no two that overlap. */
class RangeSet implements MemberSink {
  readonly set: NftSet;
  uses = 0;
  readonly #touch: () => void;
  readonly #family: IpFamily;
  readonly #members = new Map<string, { item: Item; count: number }>();
  #there = new Map<string, NftElement>();

  constructor({ set, touch, family }: { set: NftSet; touch: () => void; family: IpFamily }) {
    this.set = set;
    this.#touch = touch;
    this.#family = family;
  }

  memberChanged(before: Item | undefined, after: Item | undefined): void {
    const { id } = (after ?? before)!;
    const count =
      (this.#members.get(id)?.count ?? 0) + (before === undefined ? 1 : 0) - (after === undefined ? 1 : 0);
    if (count === 0) this.#members.delete(id);
    else this.#members.set(id, { item: after ?? this.#members.get(id)!.item, count });
    this.#touch();
  }

  takeChanges(): Omit<ElementChanges, 'set'> {
    const wanted = this.#wanted();
    const added = [...wanted].filter(([text]) => !this.#there.has(text)).map(([, element]) => element);
    const removed = [...this.#there].filter(([text]) => !wanted.has(text)).map(([, element]) => element);
    this.#there = wanted;
    return { added, removed };
  }

  elements(): NftElement[] {
    return [...this.#there.values()];
  }

  #wanted(): Map<string, NftElement> {
    const cidrs = [...this.#members.values()].flatMap(({ item }) => [
      ...item.nets,
      ...item.ips.map((ip) => ({ ip, prefix: ip.family === 4 ? 32 : 128 })),
    ]);
    const ranges = blockRanges(
      cidrs.map((cidr) => ({ cidr, except: [] })),
      this.#family,
    );
    return new Map(
      ranges.map(({ first, last }) => [`${first.value} ${last.value}`, { key: [first], keyEnd: [last] }]),
    );
  }
}
