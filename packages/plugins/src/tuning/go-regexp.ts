/** Classes that Go writes `[[:digit:]]`. */
const posixClasses: Record<string, string> = {
  alnum: '0-9A-Za-z',
  alpha: 'A-Za-z',
  digit: '0-9',
  lower: 'a-z',
  upper: 'A-Z',
  xdigit: '0-9A-Fa-f',
  word: '\\w',
  space: '\\s',
};

/**
 * A regular expression in Go's syntax, which the allowlists of the reference are written in, as far as it differs: flags at
 * the start, named classes and groups, `\A`, `\z` and `\Q…\E`. @throws SyntaxError for what it cannot be
 */
export function goRegExp(text: string): RegExp {
  const flags = /^\(\?([ims]+)\)/.exec(text);
  const source = text
    .slice(flags?.[0].length ?? 0)
    .replaceAll(/\\Q(.*?)(?:\\E|$)/g, (_all, literal: string) =>
      literal.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'),
    )
    .replaceAll(/\[:(\^?)(\w+):\]/g, (all, not: string, name: string) => {
      const characters = posixClasses[name];
      if (not !== '' || characters === undefined) throw new SyntaxError(`unknown class ${all}`);
      return characters;
    })
    // Go lets any punctuation be escaped, JavaScript only what has a meaning.
    .replaceAll(
      /\\([^\w\s^$\\.*+?()[\]{}|/])/g,
      (_all, mark: string) => `\\u{${mark.codePointAt(0)!.toString(16)}}`,
    )
    .replaceAll('(?P<', '(?<')
    .replaceAll('\\A', '^(?<![\\s\\S])')
    .replaceAll('\\z', '$(?![\\s\\S])');
  // With "u" what JavaScript does not know is an error, as in Go, and not a literal.
  return new RegExp(source, `u${flags?.[1] ?? ''}`);
}
