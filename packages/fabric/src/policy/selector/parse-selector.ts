import { FabricError } from '../../errors.ts';
import { parseSelector as parseText, type Selector as TextSelector } from '../../resources/selector.ts';
import type { Selector } from './selector.ts';

/** Calico's limit; it also bounds how deep parentheses go. */
const MAX_CHARACTERS = 1024;

/** Reads Calico's selector language; empty text is `all()`. @throws FabricError `invalid-selector` with the column */
export function parseSelector(text: string): Selector {
  if (text.length > MAX_CHARACTERS) throw refusal(text, `is longer than ${MAX_CHARACTERS} characters`);
  return convert(parseText(text), text);
}

/** As {@link parseSelector}, with `global()` standing alone. @throws FabricError `invalid-selector` */
export function parseSelectorOrGlobal(text: string): Selector | 'global' {
  return /^\s*global\(\s*\)\s*$/.test(text) ? 'global' : parseSelector(text);
}

function refusal(text: string, why: string): FabricError {
  return new FabricError('invalid-selector', `parse selector ${JSON.stringify(text)}: ${why}`);
}

/** Negations as such, so that there is one form of each. */
function convert(selector: TextSelector, text: string): Selector {
  switch (selector.type) {
    case 'all':
      return { is: 'all' };
    case 'global':
      throw refusal(text, 'global() must stand alone, and in a namespace selector');
    case 'has':
      return { is: 'has', key: selector.label };
    case 'equal':
    case 'contains':
      return { is: selector.type, key: selector.label, value: selector.value };
    case 'not-equal':
      return { is: 'not', of: { is: 'equal', key: selector.label, value: selector.value } };
    case 'starts-with':
      return { is: 'starts', key: selector.label, value: selector.value };
    case 'ends-with':
      return { is: 'ends', key: selector.label, value: selector.value };
    case 'in':
      return { is: 'in', key: selector.label, values: selector.values };
    case 'not-in':
      return { is: 'not', of: { is: 'in', key: selector.label, values: selector.values } };
    case 'not':
      return { is: 'not', of: convert(selector.operand, text) };
    case 'and':
    case 'or':
      return { is: selector.type, of: selector.operands.map((operand) => convert(operand, text)) };
  }
}
