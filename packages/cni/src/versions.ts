import { CniError } from './errors.ts';

/** Versions of the specification that this library speaks, oldest first. */
export const specVersions = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;

export const newestVersion = '1.1.0';

/** What a missing `cniVersion` means. */
export const defaultVersion = '0.1.0';

/** Verbs that older configurations do not have. */
export const firstVersionWith = { CHECK: '0.4.0', STATUS: '1.1.0', GC: '1.1.0' } as const;

type Triple = [major: number, minor: number, micro: number];

/** Reads `1.1.0`; missing parts count as 0, an empty text as 0.1.0. @throws CniError invalid-network-config */
function parseVersion(text: string): Triple {
  const match = /^(\d+)(?:\.(\d+))?(?:\.(\d+))?$/.exec(text === '' ? defaultVersion : text);
  if (match === null) {
    throw new CniError(
      'invalid-network-config',
      `parse version ${JSON.stringify(text)}: not of the form 1.1.0`,
    );
  }
  return [Number(match[1]), Number(match[2] ?? 0), Number(match[3] ?? 0)];
}

/** Negative, 0 or positive. @throws CniError for a text that is no version */
export function compareVersions(a: string, b: string): number {
  const left = parseVersion(a);
  const right = parseVersion(b);
  for (let i = 0; i < 3; i++) {
    if (left[i] !== right[i]) return left[i]! - right[i]!;
  }
  return 0;
}

/** True when `version` is `minimum` or newer. @throws CniError for a text that is no version */
export function isAtLeast(version: string, minimum: string): boolean {
  return compareVersions(version, minimum) >= 0;
}

/** The highest version that is not newer than ours; undefined when there is none. @throws CniError */
export function selectVersion(candidates: readonly string[]): string | undefined {
  return candidates
    .filter((version) => !isAtLeast(version, newestVersion) || compareVersions(version, newestVersion) === 0)
    .reduce<string | undefined>(
      (best, version) => (best === undefined || compareVersions(version, best) > 0 ? version : best),
      undefined,
    );
}
