import { existsSync } from 'node:fs';
import { cgroupOomKills, isAlive } from '@amphipod/linux';
import type { RuntimeContext } from '../context.ts';
import type { Container } from '../store/records.ts';
import { containerPaths } from './paths.ts';

/**
 * Whether the kernel killed a process of this container for want of memory, asked once, when it has ended (field case
 * RES-01). Its own counter says it. With the systemd driver the scope, and the counter, may be gone before anybody has
 * read it: then what the counter of the pod's slice has beyond what is accounted for must be this container's.
 */
export function wasOomKilled(context: RuntimeContext, container: Container): boolean {
  const { cgroups, config } = context;
  const own = cgroupOomKills(cgroups, container.cgroupPath);
  if (context.cgroupDriver === 'cgroupfs') return (own ?? 0) > 0;
  const kills = cgroups.version === 2 ? accountFor(context, container, own) : own;
  // conmon may have been in time.
  return (kills ?? 0) > 0 || existsSync(containerPaths(config, container.id).oom);
}

/** Kills in a slice that need no explanation: all but those of the containers whose own counters are there. */
export function accountedOomKills(
  { cgroups, store }: RuntimeContext,
  parent: string,
  but?: Container,
): number {
  const total = parent === '' ? 0 : (cgroupOomKills(cgroups, parent) ?? 0);
  const counted = store.sandboxes
    .list()
    .filter(({ cgroupParent }) => cgroupParent === parent)
    .flatMap(({ id }) => store.containersOf(id))
    .filter((container) => container !== but)
    .reduce((sum, { cgroupPath }) => sum + (cgroupOomKills(cgroups, cgroupPath) ?? 0), 0);
  return total - counted;
}

function accountFor(context: RuntimeContext, container: Container, own: number | undefined): number {
  const { store } = context;
  const sandbox = store.sandboxes.get(container.sandboxId);
  if (sandbox === undefined) return own ?? 0;
  const { cgroupParent, oomKills: before = 0 } = sandbox;
  const sharing = store.sandboxes.list().filter((one) => one.cgroupParent === cgroupParent);
  const othersEnded = sharing
    .flatMap(({ id }) => store.containersOf(id))
    .some(
      (one) =>
        one !== container && one.state === 'running' && one.process !== undefined && !isAlive(one.process),
    );
  const { kills, accounted } = attributeOomKills({
    own,
    now: accountedOomKills(context, cgroupParent, container),
    before,
    othersEnded,
  });
  for (const one of sharing) store.sandboxes.update(one, { oomKills: accounted });
  return kills;
}

/**
 * Which kills are those of a container that has ended.
 * @param own its own counter, undefined when it is gone
 * @param now what is accounted for once this container has been dealt with, and `before`: the same the last time
 * @param othersEnded another one has ended too and waits for its turn: it may need its share
 */
export function attributeOomKills({
  own,
  now,
  before,
  othersEnded,
}: {
  own: number | undefined;
  now: number;
  before: number;
  othersEnded: boolean;
}): { kills: number; accounted: number } {
  const unexplained = Math.max(0, now - before);
  const kills = own ?? (othersEnded ? Math.min(1, unexplained) : unexplained);
  return { kills, accounted: othersEnded ? before + kills : now };
}
