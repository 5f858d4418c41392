import { formatSelector, matchesSelector, type Selector } from '../../selector/selector.ts';
import type { Item } from '../model/policy-world.ts';

/** Told when an item begins to match (no `before`), ends to match (no `after`), or changes while it matches. */
export interface MemberSink {
  memberChanged(before: Item | undefined, after: Item | undefined): void;
}

interface Entry {
  selector: Selector;
  members: Map<string, Item>;
  sinks: Set<MemberSink>;
  /** Where it stands in the index; undefined when it has to be asked for every item. */
  indexedBy: readonly string[] | undefined;
}

/**
 * Which items each selector matches, kept as items and selectors come and go. An item is compared with those selectors only
 * that ask for one of its labels, and a new selector with those items only that have the label it asks for.
 */
export class SelectorIndex {
  readonly #entries = new Map<string, Entry>();
  readonly #entriesByLabel = new Map<string, Set<Entry>>();
  /** Selectors that no label can find. */
  readonly #others = new Set<Entry>();
  readonly #items = new Map<string, Item>();
  readonly #itemsByLabel = new Map<string, Set<Item>>();
  /** Which selectors an item matches. */
  readonly #matching = new Map<string, Set<Entry>>();

  /** Tells the sink of all members, and from then on of each change. */
  subscribe(selector: Selector, sink: MemberSink): void {
    const text = formatSelector(selector);
    let entry = this.#entries.get(text);
    if (entry === undefined) {
      entry = this.#add(selector);
      this.#entries.set(text, entry);
    }
    entry.sinks.add(sink);
    for (const item of entry.members.values()) sink.memberChanged(undefined, item);
  }

  /** Tells the sink nothing more. */
  unsubscribe(selector: Selector, sink: MemberSink): void {
    const text = formatSelector(selector);
    const entry = this.#entries.get(text);
    if (entry === undefined) return;
    entry.sinks.delete(sink);
    if (entry.sinks.size > 0) return;
    this.#entries.delete(text);
    this.#others.delete(entry);
    for (const label of entry.indexedBy ?? []) removeFrom(this.#entriesByLabel, label, entry);
    for (const id of entry.members.keys()) this.#matching.get(id)?.delete(entry);
  }

  put(item: Item): void {
    const { id } = item;
    const before = this.#items.get(id);
    if (before !== undefined) this.#unindexItem(before);
    this.#items.set(id, item);
    for (const label of labelsOf(item)) addTo(this.#itemsByLabel, label, item);
    const matched = this.#matching.get(id) ?? new Set();
    const matching = new Set(
      [...this.#candidates(item)].filter(({ selector }) => matchesSelector(selector, item.labels)),
    );
    this.#matching.set(id, matching);
    for (const entry of matched) {
      if (matching.has(entry)) continue;
      entry.members.delete(id);
      for (const sink of entry.sinks) sink.memberChanged(before, undefined);
    }
    for (const entry of matching) {
      entry.members.set(id, item);
      for (const sink of entry.sinks) sink.memberChanged(matched.has(entry) ? before : undefined, item);
    }
  }

  remove(id: string): void {
    const item = this.#items.get(id);
    if (item === undefined) return;
    this.#items.delete(id);
    this.#unindexItem(item);
    for (const entry of this.#matching.get(id) ?? []) {
      entry.members.delete(id);
      for (const sink of entry.sinks) sink.memberChanged(item, undefined);
    }
    this.#matching.delete(id);
  }

  #add(selector: Selector): Entry {
    const alternatives = requiredLabels(selector);
    const weightOf = (labels: readonly string[], map: Map<string, Set<unknown>>) =>
      labels.reduce((sum, label) => sum + (map.get(label)?.size ?? 0), 0);
    const fewest = (map: Map<string, Set<unknown>>) =>
      alternatives.toSorted((a, b) => weightOf(a, map) - weightOf(b, map))[0];
    const entry: Entry = {
      selector,
      members: new Map(),
      sinks: new Set(),
      indexedBy: fewest(this.#entriesByLabel as Map<string, Set<unknown>>),
    };
    if (entry.indexedBy === undefined) this.#others.add(entry);
    for (const label of entry.indexedBy ?? []) addTo(this.#entriesByLabel, label, entry);
    const found = fewest(this.#itemsByLabel as Map<string, Set<unknown>>);
    const items =
      found === undefined
        ? this.#items.values()
        : new Set(found.flatMap((label) => [...(this.#itemsByLabel.get(label) ?? [])]));
    for (const item of items) {
      if (!matchesSelector(selector, item.labels)) continue;
      entry.members.set(item.id, item);
      this.#matching.get(item.id)!.add(entry);
    }
    return entry;
  }

  #candidates(item: Item): Set<Entry> {
    const candidates = new Set(this.#others);
    for (const label of labelsOf(item)) {
      for (const entry of this.#entriesByLabel.get(label) ?? []) candidates.add(entry);
    }
    return candidates;
  }

  #unindexItem(item: Item): void {
    for (const label of labelsOf(item)) removeFrom(this.#itemsByLabel, label, item);
  }
}

/** Labels with values of which an item must have one to match; each list by itself is enough to find all that match. */
function requiredLabels(selector: Selector): readonly string[][] {
  switch (selector.is) {
    case 'equal':
      return [[labelText(selector.key, selector.value)]];
    case 'in':
      return [selector.values.map((value) => labelText(selector.key, value))];
    case 'and':
      return selector.of.flatMap(requiredLabels);
    default:
      return [];
  }
}

function labelText(key: string, value: string): string {
  return `${key}\0${value}`;
}

function labelsOf({ labels }: Item): string[] {
  return [...labels].map(([key, value]) => labelText(key, value));
}

function addTo<T>(map: Map<string, Set<T>>, key: string, value: T): void {
  const set = map.get(key);
  if (set === undefined) map.set(key, new Set([value]));
  else set.add(value);
}

function removeFrom<T>(map: Map<string, Set<T>>, key: string, value: T): void {
  const set = map.get(key);
  set?.delete(value);
  if (set?.size === 0) map.delete(key);
}
