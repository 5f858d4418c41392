import { isAlive } from '@amphipod/linux';
import { recordExit, recordLostExit } from '../containers/exited.ts';
import type { RuntimeContext } from '../context.ts';
import { errorText } from '../errors.ts';
import { initId } from '../pods/init.ts';
import type { Sandbox } from '../store/records.ts';

/** How often to look for processes whose monitor died, so that nobody reports their end. */
const sweepMs = 5000;

/** Records the end of containers and of sandbox inits as it is reported, and finds those that nobody reports. */
export function watchExits(context: RuntimeContext): Disposable {
  const logFailure = (error: unknown) => context.log.error('record exit', { error: errorText(error) });
  context.exits.watch((name) => {
    const container = context.store.containers.get(name);
    if (container !== undefined) recordExit(context, container).catch(logFailure);
    else
      for (const sandbox of context.store.sandboxes.list())
        if (name === initId(sandbox.id)) initEnded(context, sandbox);
  });
  const sweep = setInterval(() => {
    for (const container of context.store.containers.list())
      recordLostExit(context, container).catch(logFailure);
    for (const sandbox of context.store.sandboxes.list()) {
      if (sandbox.init !== undefined && !isAlive(sandbox.init)) initEnded(context, sandbox);
    }
  }, sweepMs);
  return {
    [Symbol.dispose]: () => clearInterval(sweep),
  };
}

/** Without its init a pod has no PID namespace any more: NOTREADY, and the kubelet makes a new one. */
function initEnded(context: RuntimeContext, sandbox: Sandbox): void {
  if (sandbox.state !== 'ready') return;
  context.log.warn('sandbox init ended', { sandbox: sandbox.id });
  context.store.sandboxes.update(sandbox, { state: 'notready' });
  context.events.sandbox('stopped', sandbox);
}
