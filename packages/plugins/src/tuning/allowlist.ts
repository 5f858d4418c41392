import { readFileSync } from 'node:fs';
import { CniError } from '@amphipod/cni';
import { isCode } from '@amphipod/linux';
import type { TuningConfig } from './config.ts';
import { goRegExp } from './go-regexp.ts';

const ALLOWLIST = '/etc/cni/tuning/allowlist.conf';

/**
 * Refuses sysctls that the machine's list does not allow: a regular expression a line, one of which has to match somewhere in
 * the key as it is written. Without the file all are allowed.
 * @throws CniError invalid-network-config, io-failure
 */
export function requireAllowed(sysctls: TuningConfig['sysctls'], file = ALLOWLIST): void {
  if (sysctls.length === 0) return;
  const lines = readAllowlist(file);
  if (lines === undefined) return;
  const allowed = lines.map((line) => ({ line, regExp: compile(line, file) }));
  for (const [key] of sysctls) {
    if (allowed.some(({ regExp }) => regExp.test(key))) continue;
    throw new CniError(
      'invalid-network-config',
      `Sysctl ${key} is not allowed. Only the following sysctls are allowed: [${lines.join(' ')}]`,
      { file, key: `sysctl.${key}` },
    );
  }
}

function readAllowlist(file: string): string[] | undefined {
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '');
  } catch (cause) {
    if (isCode(cause, 'ENOENT')) return undefined;
    throw new CniError('io-failure', `read ${file}: ${(cause as Error).message}`, { file, cause });
  }
}

function compile(line: string, file: string): RegExp {
  try {
    return goRegExp(line);
  } catch (cause) {
    const message = `read ${file}: ${JSON.stringify(line)}: ${(cause as Error).message}`;
    throw new CniError('invalid-network-config', message, { file, cause });
  }
}
