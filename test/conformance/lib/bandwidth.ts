import type { Result } from '@amphipod/cni';
import type { Subject } from './subjects.ts';
import { type Config, call, run, type World } from './world.ts';

interface Qdisc {
  kind: string;
  handle: string;
  root?: boolean;
  options?: { rate?: number; burst?: number; lat?: number };
}

/** Both directions: rates in bits per second, bursts in bits. */
export const limits = {
  ingressRate: 8_000_000,
  ingressBurst: 800_000,
  egressRate: 4_000_000,
  egressBurst: 400_000,
};
/** The plugin with {@link limits}. */
export const shaping: Config = { type: 'bandwidth', ...limits };

/** Queues of a link as `tc -j qdisc show`, the default one left out. */
export function qdiscs(device: string): Qdisc[] {
  return (JSON.parse(run('tc', '-j', 'qdisc', 'show', 'dev', device)) as Qdisc[]).filter(
    ({ kind }) => kind !== 'noqueue',
  );
}

/** Rate and burst in bytes, latency in microseconds, of the link's token bucket. */
export function bucketOf(device: string): Qdisc['options'] {
  return qdiscs(device).find(({ kind }) => kind === 'tbf')?.options;
}

/** What the pods of {@link attach} hang on. */
export const bridgeOf = (world: World): Config => ({
  type: 'bridge',
  bridge: 'tb0',
  ipam: { type: 'host-local', subnet: '10.99.0.0/24', dataDir: world.dataDir },
});

interface Attached {
  pod: { containerID: string; netns: string; prevResult: Result };
  hostEnd: string;
}

/** A pod on a bridge. */
export async function attach(subject: Subject, world: World, containerID = 'c1'): Promise<Attached> {
  const netns = world.netns(containerID);
  const prevResult = await call(subject, 'ADD', bridgeOf(world), { containerID, netns });
  return { pod: { containerID, netns, prevResult }, hostEnd: prevResult.interfaces![1]!.name };
}
