import { isCode } from '@amphipod/linux';
import { openNft } from '@amphipod/netlink';
import type { DaemonConfig } from '../config.ts';
import { CriError, errorText } from '../errors.ts';
import type { Log } from '../log.ts';
import type { PodPolicy } from '../pods/policy.ts';
import type { Sandbox } from '../store/records.ts';
import type { Store } from '../store/store.ts';

export interface PodPolicyOptions {
  config: Pick<DaemonConfig, 'policyDir' | 'policyStrict'>;
  store: Store;
  log: Log;
}

/**
 * Enforces the network policies of a directory for the pods of this node, those that are there already first of all. Ends
 * when it is disposed of; what is in force stays, and is taken up by the next start.
 * @throws CriError failed-precondition when the directory cannot be read
 */
export async function startPodPolicy({
  config,
  store,
  log,
}: PodPolicyOptions): Promise<PodPolicy & Disposable> {
  const { policyDir: dir, policyStrict: isStrict } = config;
  // Loaded only where there are policies.
  const { filterBridgedPackets, NodeWorld, PolicyDirectory, startPolicy } = await import(
    '@amphipod/fabric/policy'
  );
  using stack = new DisposableStack();
  const node = new NodeWorld();
  for (const sandbox of store.sandboxes.list()) {
    if (sandbox.network !== undefined) node.podStarted(runningPod(sandbox));
  }
  const applyLater = () => {
    try {
      policy.apply();
    } catch (error) {
      // Tried again by the look at the kernel that comes next.
      log.error('network policy', { error: errorText(error) });
    }
  };
  openDirectory(() =>
    stack.use(
      new PolicyDirectory({
        dir,
        sink: node,
        onChange: applyLater,
        onProblem: (problem) =>
          log.error('a document of network policy is passed over', { error: problem.message }),
      }),
    ),
  );
  if (!filterBridgedPackets()) {
    log.warn('pods of one bridge are not kept apart: the kernel has no br_netfilter (modprobe br_netfilter)');
  }
  const policy = stack.use(
    startPolicy({
      world: node.world,
      nft: stack.use(openNft()),
      isStrict,
      onMend: () => log.warn('somebody has changed the rules of network policy: they are mended'),
      onError: (error) => log.error('network policy', { error: errorText(error) }),
    }),
  );
  log.info('network policy', { dir, documents: [...node.world.resources].length });
  const owned = stack.move();
  return {
    podAttached(sandbox) {
      node.podStarted(runningPod(sandbox));
      try {
        policy.apply();
      } catch (error) {
        throw new CriError(
          'unavailable',
          `put network policy of the pod into the kernel: ${errorText(error)}`,
          {
            cause: error,
          },
        );
      }
    },
    podDetached(sandbox) {
      node.podStopped(runningPod(sandbox));
      applyLater();
    },
    [Symbol.dispose]: () => owned.dispose(),
  };
}

function openDirectory(open: () => object): void {
  try {
    open();
  } catch (error) {
    if (!isCode(error, 'invalid-config')) throw error;
    throw new CriError('failed-precondition', errorText(error), { cause: error });
  }
}

function runningPod({ id, config, ips }: Sandbox) {
  const { name = '', namespace = '' } = config.metadata ?? {};
  return { id, namespace, name, labels: config.labels, ips };
}
