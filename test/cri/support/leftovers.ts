import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { mountInfo } from '@amphipod/linux';
import { allCgroups, cgroupRoot } from './pods.ts';
import { run } from './program.ts';
import type { CriServer } from './server.ts';

/** What a daemon has in the kernel and on disk for its pods, as lines that can be compared. */
export interface Leftovers {
  mounts: string[];
  links: string[];
  reservations: string[];
  cgroups: string[];
  processes: string[];
  files: string[];
  rules: string[];
}

/**
 * Lists everything that belongs to pods of `server`: mounts below its directories, veths, host-local reservations, the
 * pods' cgroups, processes of monitors and OCI runtimes, state files, and firewall rules of pods. Run it in namespaces
 * that only this server uses.
 */
export async function leftovers(server: CriServer): Promise<Leftovers> {
  const { dir } = server;
  return {
    mounts: mountInfo()
      .map(({ mountPoint }) => mountPoint)
      .filter((path) => path.startsWith(`${dir}/`) || path.startsWith('/run/netns/'))
      .toSorted(),
    // Some releases of ip print an empty object for a link of another type.
    links: (JSON.parse(await run(['ip', '-json', 'link', 'show', 'type', 'veth'])) as { ifname?: string }[])
      .map((link) => link.ifname)
      .filter((name) => name !== undefined),
    reservations: addressFiles(`${dir}/ipam`),
    cgroups: podCgroups(),
    processes: processesIn(dir),
    files: [
      `${dir}/state/sandboxes`,
      `${dir}/state/containers`,
      `${dir}/root/containers`,
      server.ociRoot,
      `${dir}/cni-cache/results`,
    ]
      .filter(existsSync)
      .flatMap((path) => readdirSync(path).map((name) => `${path}/${name}`))
      // crun's own, of compiled seccomp filters; it bounds its size.
      .filter((path) => path !== `${server.ociRoot}/.cache`),
    rules: podRules(await run(['nft', 'list', 'ruleset'])),
  };
}

/**
 * Asserts that just `expected` is there. Monitors end by themselves a moment after their container, so it looks again
 * for two seconds before it fails.
 */
export async function assertLeft(server: CriServer, expected: Leftovers, message?: string): Promise<void> {
  for (const deadline = performance.now() + 2000; performance.now() < deadline; await sleep(50)) {
    if (isDeepStrictEqual(await leftovers(server), expected)) return;
  }
  assert.deepEqual(await leftovers(server), expected, message);
}

function addressFiles(dir: string): string[] {
  if (!existsSync(dir)) return [];
  return readdirSync(dir).flatMap((network) =>
    readdirSync(`${dir}/${network}`).filter((name) => /^\d+\./.test(name)),
  );
}

/** Cgroups below the pods' parents; the parents are the kubelet's. */
function podCgroups(): string[] {
  return [...new Set(allCgroups().mounts.values())].flatMap((mountPoint) => {
    const root = `${mountPoint}${cgroupRoot}`;
    if (!existsSync(root)) return [];
    return childGroups(root).flatMap((pod) => childGroups(pod));
  });
}

function childGroups(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => `${dir}/${entry.name}`);
}

/** Command lines that name the server's directory, the server itself aside. */
function processesIn(dir: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        const isDaemon = argv.includes('up') || argv[0]!.endsWith('containerd') || argv.includes('--test');
        return !isDaemon && argv.some((arg) => arg.includes(`${dir}/`)) ? [`${pid} ${argv.join(' ')}`] : [];
      } catch {
        return [];
      }
    });
}

/** Lines of an nftables ruleset that name a pod's address in the test networks. */
function podRules(ruleset: string): string[] {
  return ruleset
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => /10\.201\.\d+\.(?!0\/)\d+/.test(line));
}
