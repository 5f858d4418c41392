import { containerPaths } from '../containers/paths.ts';
import type { RuntimeContext } from '../context.ts';
import type { ContainerStats, FilesystemUsage } from '../gen/api.ts';
import type { Container } from '../store/records.ts';
import { groupUsage } from './usage.ts';

/** How long a first question may wait for the sizes of writable layers. */
const firstLayersMs = 500;

/** Stats of one container; those of its processes are undefined when it has none. */
export function containerStats(context: RuntimeContext, container: Container): ContainerStats {
  const { id, config } = container;
  const usage = container.state === 'running' ? groupUsage(context, container.cgroupPath) : undefined;
  return {
    attributes: {
      id,
      metadata: config.metadata,
      labels: config.labels,
      annotations: config.annotations,
    },
    cpu: usage?.cpu,
    memory: usage?.memory,
    swap: usage?.swap,
    io: usage?.io,
    writableLayer: writableLayer(context, container),
  };
}

/** Stats of a container that runs; undefined for one that does not, or ends at this moment. */
export function runningContainerStats(
  context: RuntimeContext,
  container: Container,
): ContainerStats | undefined {
  if (container.state !== 'running') return undefined;
  const stats = containerStats(context, container);
  return stats.cpu === undefined ? undefined : stats;
}

/** Has the sizes of these containers' writable layers measured, and waits for those that never were. */
export async function askForLayers(context: RuntimeContext, containers: Container[]): Promise<void> {
  const unknown = containers.filter((container) => writableLayer(context, container) === undefined);
  if (unknown.length > 0) await context.layers.settled(firstLayersMs);
}

/** The last measurement of a container's writable layer, undefined before the first. */
export function writableLayer(context: RuntimeContext, container: Container): FilesystemUsage | undefined {
  const size = context.layers.get(container.id, containerPaths(context.config, container.id).upper);
  return (
    size && {
      timestamp: size.atNs,
      // The same as in ImageFsInfo: the kubelet compares them.
      fsId: { mountpoint: context.config.root },
      usedBytes: { value: size.usedBytes },
      inodesUsed: { value: size.inodes },
    }
  );
}
