import { parseSelector, parseSelectorOrGlobal } from '../../selector/parse-selector.ts';
import type { Selector } from '../../selector/selector.ts';
import type { Fields } from './fields.ts';
import type { LabelOperator, LabelSelector } from './resources.ts';

const operators: readonly LabelOperator[] = ['In', 'NotIn', 'Exists', 'DoesNotExist'];
// k8s.io/apimachinery, util/validation: IsQualifiedName and IsValidLabelValue.
const LABEL_NAME = /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/;
const LABEL_PREFIX = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$/;

/** Reads a metav1.LabelSelector; undefined when the key is absent. @throws FabricError `invalid-config` */
export function readLabelSelector(fields: Fields, key: string): LabelSelector | undefined {
  const selector = fields.object(key);
  if (selector === undefined) return undefined;
  selector.allowOnly('matchLabels', 'matchExpressions');
  const matchLabels = selector.stringMap('matchLabels');
  for (const [name, value] of Object.entries(matchLabels)) {
    if (!isLabelKey(name)) throw selector.refusal('matchLabels', `${JSON.stringify(name)} is no label key`);
    if (!LABEL_VALUE.test(value)) {
      throw selector.refusal('matchLabels', `${JSON.stringify(value)} is no label value`);
    }
  }
  const matchExpressions = selector.list('matchExpressions') ?? [];
  return { matchLabels, matchExpressions: matchExpressions.map(readExpression) };
}

function readExpression(fields: Fields): LabelSelector['matchExpressions'][number] {
  fields.allowOnly('key', 'operator', 'values');
  const key = fields.need('key', fields.string('key'));
  if (!isLabelKey(key)) throw fields.refusal('key', 'is no label key');
  const operator = fields.need('operator', fields.word('operator', operators));
  const values = fields.strings('values') ?? [];
  const needsValues = operator === 'In' || operator === 'NotIn';
  if (needsValues && values.length === 0) throw fields.refusal('values', `must be given for ${operator}`);
  if (!needsValues && values.length > 0) throw fields.refusal('values', `must be empty for ${operator}`);
  const wrong = values.find((value) => !LABEL_VALUE.test(value));
  if (wrong !== undefined) throw fields.refusal('values', `${JSON.stringify(wrong)} is no label value`);
  return { key, operator, values };
}

function isLabelKey(key: string): boolean {
  const [name, prefix] = key.split('/').toReversed();
  if (key.split('/').length > 2 || !LABEL_NAME.test(name!)) return false;
  return prefix === undefined || LABEL_PREFIX.test(prefix);
}

/** Reads a selector of Calico; undefined when it is absent or empty. @throws FabricError `invalid-config` */
export function readCalicoSelector(fields: Fields, key: string): Selector | undefined {
  return readSelectorText(fields, key, parseSelector);
}

/** As {@link readCalicoSelector}, where `global()` may stand. */
export function readNamespaceSelector(fields: Fields, key: string): Selector | 'global' | undefined {
  return readSelectorText(fields, key, parseSelectorOrGlobal);
}

function readSelectorText<T>(fields: Fields, key: string, parse: (text: string) => T): T | undefined {
  const text = fields.string(key);
  if (text === undefined || text.trim() === '') return undefined;
  try {
    return parse(text);
  } catch (error) {
    if (error instanceof RangeError) throw fields.refusal(key, `no selector: ${error.message}`);
    throw error;
  }
}
