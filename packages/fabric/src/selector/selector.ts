/** An expression over labels, in the meaning of Calico's selectors; the label selectors of Kubernetes are made into it. */
export type Selector =
  | { is: 'all' }
  | { is: 'none' }
  | { is: 'has'; key: string }
  | { is: 'equal' | 'contains' | 'starts' | 'ends'; key: string; value: string }
  | { is: 'in'; key: string; values: readonly string[] }
  | { is: 'not'; of: Selector }
  | { is: 'and' | 'or'; of: readonly Selector[] };

export type Labels = ReadonlyMap<string, string>;

/** What is compared with a label that is not there is false, so that its negation is true. */
export function matchesSelector(selector: Selector, labels: Labels): boolean {
  switch (selector.is) {
    case 'all':
      return true;
    case 'none':
      return false;
    case 'has':
      return labels.has(selector.key);
    case 'equal':
      return labels.get(selector.key) === selector.value;
    case 'in': {
      const value = labels.get(selector.key);
      return value !== undefined && selector.values.includes(value);
    }
    case 'contains':
      return labels.get(selector.key)?.includes(selector.value) ?? false;
    case 'starts':
      return labels.get(selector.key)?.startsWith(selector.value) ?? false;
    case 'ends':
      return labels.get(selector.key)?.endsWith(selector.value) ?? false;
    case 'not':
      return !matchesSelector(selector.of, labels);
    case 'and':
      return selector.of.every((part) => matchesSelector(part, labels));
    case 'or':
      return selector.of.some((part) => matchesSelector(part, labels));
  }
}

/** All of them; flat, and without what says nothing. */
export function allOf(...parts: readonly (Selector | undefined)[]): Selector {
  const flat = parts.flatMap((part): readonly Selector[] => {
    if (part === undefined || part.is === 'all') return [];
    return part.is === 'and' ? part.of : [part];
  });
  if (flat.some(({ is }) => is === 'none')) return { is: 'none' };
  if (flat.length === 0) return { is: 'all' };
  return flat.length === 1 ? flat[0]! : { is: 'and', of: flat };
}

/** One text for each meaning up to the order of parts, in Calico's grammar. */
export function formatSelector(selector: Selector): string {
  const quoted = (text: string) => (text.includes("'") ? `"${text}"` : `'${text}'`);
  switch (selector.is) {
    case 'all':
      return 'all()';
    case 'none':
      return '!all()';
    case 'has':
      return `has(${selector.key})`;
    case 'equal':
      return `${selector.key} == ${quoted(selector.value)}`;
    case 'in':
      return `${selector.key} in {${selector.values.toSorted().map(quoted).join(', ')}}`;
    case 'contains':
    case 'starts':
    case 'ends': {
      const word = selector.is === 'contains' ? 'contains' : `${selector.is} with`;
      return `${selector.key} ${word} ${quoted(selector.value)}`;
    }
    case 'not':
      return selector.of.is === 'and' || selector.of.is === 'or'
        ? `!${formatSelector(selector.of)}`
        : `!(${formatSelector(selector.of)})`;
    case 'and':
    case 'or':
      return `(${selector.of
        .map(formatSelector)
        .toSorted()
        .join(selector.is === 'and' ? ' && ' : ' || ')})`;
  }
}

/** Renames the labels that it looks at. */
export function mapKeys(selector: Selector, rename: (key: string) => string): Selector {
  switch (selector.is) {
    case 'all':
    case 'none':
      return selector;
    case 'not':
      return { is: 'not', of: mapKeys(selector.of, rename) };
    case 'and':
    case 'or':
      return { is: selector.is, of: selector.of.map((part) => mapKeys(part, rename)) };
    default:
      return { ...selector, key: rename(selector.key) };
  }
}
