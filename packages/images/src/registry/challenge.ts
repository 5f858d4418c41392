/** One way to log in that a server offers. */
export interface Challenge {
  /** Lower case: `bearer`, `basic`. */
  scheme: string;
  params: Record<string, string>;
}

/** Parses a WWW-Authenticate header, which may offer several (RFC 9110, 11.6.1). What makes no sense is passed over. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: Challenge[] = [];
  const token = /([A-Za-z0-9!#$%&'*+.^_`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?[\s,]*/y;
  for (let at = 0; at < header.length; at = Math.max(token.lastIndex, at + 1)) {
    token.lastIndex = at;
    const match = token.exec(header);
    if (match === null) continue;
    const [, name, quoted, plain] = match;
    if (quoted === undefined && plain === undefined)
      challenges.push({ scheme: name!.toLowerCase(), params: {} });
    else {
      const value = quoted?.replace(/\\(.)/g, '$1') ?? plain!;
      const current = challenges.at(-1);
      if (current !== undefined) current.params[name!.toLowerCase()] = value;
    }
  }
  return challenges;
}
