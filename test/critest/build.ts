import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

export const criToolsVersion = 'v1.36.0';
/** Of the image of one spec, a constant of critest (pkg/validate/consts.go): only the original image has it. */
const originalDigest = '9700f9a2f5bf2c45f2f605a0bd3bce7cf37420ec9d3ed50ac2758413308766bf';

/** There is no way to build critest here. */
export class CannotBuild extends Error {}

/**
 * Builds critest and, for `-parallel`, ginkgo with Go, once for each version.
 * @returns a directory with both
 * @throws CannotBuild where Go is too old, or cannot have the modules
 */
export function buildCritest(): string {
  const cache = `${process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache')}/amphipod`;
  const dir = `${cache}/critest-${criToolsVersion}`;
  if (existsSync(`${dir}/critest`)) return dir;
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(`${dir}.`);
  const go = (...args: string[]) =>
    execFileSync('go', args, {
      cwd: work,
      env: { ...process.env, GOFLAGS: '-mod=mod' },
      stdio: ['ignore', 'inherit', 'inherit'],
    });
  try {
    go('mod', 'init', 'example.org/critest');
    go('get', '-t', `sigs.k8s.io/cri-tools/cmd/critest@${criToolsVersion}`);
    go('test', '-c', '-o', `${work}/bin/critest`, 'sigs.k8s.io/cri-tools/cmd/critest');
    go('build', '-o', `${work}/bin/ginkgo`, 'github.com/onsi/ginkgo/v2/ginkgo');
    renameSync(`${work}/bin`, dir);
  } catch (cause) {
    throw new CannotBuild(`build critest ${criToolsVersion}: ${(cause as Error).message}`, { cause });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return dir;
}

/** A copy of critest that expects our image's digest in the place of the original's. Nothing else differs. */
export function withDigest(critest: string, copy: string, manifestDigest: string): void {
  const program = readFileSync(critest);
  const at = program.indexOf(originalDigest);
  if (at < 0) throw new Error(`${critest} does not contain the digest ${originalDigest}`);
  program.write(manifestDigest.replace('sha256:', ''), at, 'latin1');
  writeFileSync(copy, program);
  chmodSync(copy, 0o755);
}
