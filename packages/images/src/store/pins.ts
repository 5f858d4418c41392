import { isDigest } from '../digest.ts';
import { canonicalName } from '../reference.ts';

/**
 * Which images are never to be collected, by patterns as CRI-O's `pinned_images` has them: a name, in full or short;
 * `PREFIX*`; `*WORD*`. Patterns with a star are compared with full names.
 */
export function pinMatcher(patterns: readonly string[]): (names: readonly string[]) => boolean {
  const tests = patterns.map(patternTest);
  return (names) => tests.some((test) => names.some(test));
}

function patternTest(pattern: string): (name: string) => boolean {
  if (pattern.endsWith('*')) {
    const isWord = pattern.length > 1 && pattern.startsWith('*');
    const text = pattern.slice(isWord ? 1 : 0, -1);
    return (name) => (isWord ? name.includes(text) : name.startsWith(text));
  }
  const exact = fullName(pattern);
  return (name) => name === exact;
}

/** The settings are not checked against what could be a name: what is none is no image's. */
function fullName(text: string): string {
  return isDigest(text) ? text : (canonicalName(text) ?? text);
}
