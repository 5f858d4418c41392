import { parseSelectorOrGlobal } from './parse-selector.ts';
import { matchesSelector } from './selector.ts';

/** Labels as resources have them. */
export type LabelRecord = Readonly<Record<string, string>>;

/**
 * True when a selector in Calico's grammar selects something with these labels; `global()` means what belongs to no namespace, and
 * selects nothing that has labels to be looked at. @throws RangeError as `parseSelector`
 */
export function selects(selector: string, labels: LabelRecord): boolean {
  const parsed = parseSelectorOrGlobal(selector);
  return parsed !== 'global' && matchesSelector(parsed, new Map(Object.entries(labels)));
}
