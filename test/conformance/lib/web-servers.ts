import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Result } from '@amphipod/cni';
import { bridgeConfig, dualStack } from './configs.ts';
import type { Subject } from './subjects.ts';
import { call, inPod, run, type World } from './world.ts';

/** A pod on a bridge, with a web server that answers with the pod's name. */
export async function podWithServer(
  subject: Subject,
  world: World,
  name: string,
): Promise<{ netns: string; prevResult: Result }> {
  const netns = world.netns(name);
  const prevResult = await call(
    subject,
    'ADD',
    bridgeConfig(world, { hairpinMode: true, ipam: dualStack(world) }),
    { containerID: name, netns },
  );
  const www = join(world.dir, `www-${name}`);
  mkdirSync(www);
  writeFileSync(join(www, 'index.html'), name);
  serve(world, netns, ['busybox', 'httpd', '-f', '-p', '80', '-h', www]);
  await untilServed(netns, 'http://127.0.0.1/');
  return { netns, prevResult };
}

/** lo is up in a pod that has a server, as it is with every runtime. */
export async function untilServed(netns: string | undefined, url: string): Promise<void> {
  if (netns !== undefined) inPod(netns, 'ip', 'link', 'set', 'lo', 'up');
  for (let tries = 0; fetchFrom(netns, url) === undefined; tries++) {
    assert.ok(tries < 50, `${url} is not served`);
    await sleep(50);
  }
}

const servers = new WeakMap<World, ChildProcess[]>();

/** Runs a server in a pod's namespace until {@link stopServers}. */
export function serve(world: World, netns: string, command: string[]): void {
  const child = spawn('nsenter', [`--net=${netns}`, ...command], { stdio: 'ignore' });
  servers.set(world, [...(servers.get(world) ?? []), child]);
}

/** Ends the servers of a test. */
export async function stopServers(world: World): Promise<void> {
  for (const child of servers.get(world) ?? []) {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
}

/** What a web server answers; undefined when nothing does. */
export function fetchFrom(netns: string | undefined, url: string): string | undefined {
  // Its own time limit crashes Debian's static busybox.
  const command = ['timeout', '4', 'busybox', 'wget', '-q', '-O', '-', url];
  const full = netns === undefined ? command : ['nsenter', `--net=${netns}`, ...command];
  try {
    return run(full[0]!, ...full.slice(1));
  } catch {
    return undefined;
  }
}
