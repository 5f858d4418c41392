import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isCode } from '@amphipod/linux';
import type { BgpFacts } from './bgp-facts.ts';

const SAFE = /^[A-Za-z0-9][-._A-Za-z0-9]*$/;

/** Reads passwords from files `DIR/SECRET/KEY`, as Kubernetes mounts secrets; a line end at the end is not part of one. */
export function secretsIn(dir: string): BgpFacts['password'] {
  return (name, key) => {
    if (!SAFE.test(name) || !SAFE.test(key)) return undefined;
    try {
      return readFileSync(join(dir, name, key), 'utf8').replace(/\r?\n$/, '');
    } catch (error) {
      if (isCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
      throw error;
    }
  };
}
