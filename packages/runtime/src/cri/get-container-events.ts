import type { RuntimeContext } from '../context.ts';
import { CriError } from '../errors.ts';
import type { LifecycleEvent, LifecycleEventType } from '../events.ts';
import { type ContainerEventResponse, ContainerEventType, type GetEventsRequest } from '../gen/api.ts';
import type { StreamHandler } from './call.ts';
import { containerStatusMessage, sandboxStatusMessage } from './messages.ts';

/** Events that may wait for one client; each holds the statuses of a pod. */
const maxWaiting = 1024;

/**
 * GetContainerEvents: what happens from now on, in order, each event with the statuses of that moment. A client that
 * does not keep up is told so by the end of its stream (resource-exhausted) and has to list anew: nothing is left out
 * silently.
 */
export const getContainerEvents: StreamHandler<GetEventsRequest, ContainerEventResponse> = (
  context,
  _request,
  { signal },
) => {
  // Before this returns: the client is told that the stream is open, and may count on every event from then on.
  const waiting: ContainerEventResponse[] = [];
  let wake = () => {};
  let state: 'open' | 'lagging' | 'over' = 'open';
  const end = (how: 'lagging' | 'over') => {
    state = how;
    subscription[Symbol.dispose]();
    wake();
  };
  const subscription = context.events.subscribe({
    onEvent(event) {
      if (waiting.length === maxWaiting) return end('lagging');
      waiting.push(eventMessage(context, event));
      wake();
    },
    onEnd: () => end('over'),
  });
  signal.addEventListener('abort', () => end('over'));
  return drain();

  async function* drain(): AsyncGenerator<ContainerEventResponse> {
    for (;;) {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) yield next;
      if (state === 'over') return;
      if (state === 'lagging') {
        throw new CriError(
          'resource-exhausted',
          `stream events: the client is ${maxWaiting} events behind; list anew and ask again`,
        );
      }
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  }
};

const eventTypes: Record<LifecycleEventType, ContainerEventType> = {
  created: ContainerEventType.CONTAINER_CREATED_EVENT,
  started: ContainerEventType.CONTAINER_STARTED_EVENT,
  stopped: ContainerEventType.CONTAINER_STOPPED_EVENT,
  deleted: ContainerEventType.CONTAINER_DELETED_EVENT,
};

function eventMessage(
  { store }: RuntimeContext,
  { type, sandboxId, containerId, atNs }: LifecycleEvent,
): ContainerEventResponse {
  const sandbox = store.sandboxes.get(sandboxId);
  return {
    containerId: containerId ?? sandboxId,
    containerEventType: eventTypes[type],
    createdAt: atNs,
    podSandboxStatus: sandbox && sandboxStatusMessage(sandbox),
    containersStatuses: store
      .containersOf(sandboxId)
      .filter(({ state }) => state !== 'creating')
      .map(containerStatusMessage),
  };
}
