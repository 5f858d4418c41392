import type { RuntimeContext } from '../context.ts';
import type { Container } from '../store/records.ts';
import { cleanUpExited } from './exited.ts';
import { removeContainerFiles } from './rootfs.ts';
import { stopContainerProcess } from './stop.ts';

/** Removes a container, killing it when it runs. The log stays: it is the kubelet's. The record goes last. */
export async function removeContainerCompletely(
  context: RuntimeContext,
  container: Container,
): Promise<void> {
  await stopContainerProcess(context, container, 0);
  await cleanUpExited(context, container);
  await removeContainerFiles(context, container.id);
  context.layers.forget(container.id);
  context.images.release(container.id);
  context.events.container('deleted', container);
  context.store.containers.remove(container.id);
  context.containerNames.release(container.name);
}
