import type { Random } from './random.ts';

const pieces = [
  '',
  ' ',
  '\0',
  '\n',
  '\r\n',
  '\r\n\r\n',
  '"',
  "'",
  '=',
  '[',
  ']',
  '{}',
  '#',
  ',',
  ':',
  '-1',
  '0',
  '5',
  '1e400',
  '99999999999999999999',
  'true',
  'http://',
  'https://[::1',
  '%00',
  '\x80\xff',
  'chunked',
  'gzip',
  'é',
  '../../etc/passwd',
  'x'.repeat(5000),
];

/** A changed copy of a text: pieces taken out, doubled, moved or put in, and lines mixed. One to four changes. */
export function mutateText(text: string, random: Random): string {
  let changed = text;
  for (let i = random.below(4); i >= 0; i--) changed = mutateOnce(changed, random);
  return changed;
}

function mutateOnce(text: string, random: Random): string {
  const at = random.below(text.length + 1);
  const end = Math.min(text.length, at + random.below(random.chance(0.8) ? 8 : 200));
  switch (random.below(7)) {
    case 0:
      return text.slice(0, at) + text.slice(end);
    case 1:
      return text.slice(0, end) + text.slice(at);
    case 2:
    case 3:
      return text.slice(0, at) + random.pick(pieces) + text.slice(end);
    case 4:
      return text.slice(0, at) + String.fromCharCode(random.below(256)) + text.slice(at + 1);
    case 5:
      return text.slice(0, at);
    default: {
      const lines = text.split('\n');
      const line = lines.splice(random.below(lines.length), 1)[0]!;
      lines.splice(random.below(lines.length + 1), 0, line, ...(random.chance(0.5) ? [line] : []));
      return lines.join('\n');
    }
  }
}
