import { type IpAddress, tryParseIp } from '@amphipod/netlink';
import { type PodResource, type Resource, resourceKey } from '../documents/resources.ts';
import { PolicyWorld } from '../model/policy-world.ts';
import type { ResourceSink } from './policy-directory.ts';

/** A pod as its runtime knows it. */
export interface RunningPod {
  /** Of the sandbox: another one for each attempt. */
  id: string;
  namespace: string;
  name: string;
  labels: Readonly<Record<string, string>>;
  /** Without prefix length. */
  ips: readonly string[];
}

/**
 * The world of one node: its own pods, as the runtime tells of them, and what documents say of everything else. A document
 * of a running pod adds what the runtime does not know: named ports, the service account, labels that have changed.
 */
export class NodeWorld implements ResourceSink {
  readonly world: PolicyWorld;
  readonly #running = new Map<string, RunningPod>();
  readonly #documents = new Map<string, PodResource>();

  constructor() {
    this.world = new PolicyWorld(({ origin }) => this.#running.has(resourceKey(origin)));
  }

  put(resource: Resource): void {
    if (resource.type !== 'pod') {
      this.world.put(resource);
      return;
    }
    const key = resourceKey(resource.origin);
    this.#documents.set(key, resource);
    this.#refresh(key);
  }

  remove(key: string): void {
    if (!this.#documents.delete(key)) this.world.remove(key);
    else this.#refresh(key);
  }

  /** From now on policies apply to the pod; a pod of the same name before it has gone. */
  podStarted(pod: RunningPod): void {
    const key = keyOf(pod);
    this.#running.set(key, pod);
    this.#refresh(key);
  }

  /** Fine when there is none, or another attempt of it by now. */
  podStopped(pod: Pick<RunningPod, 'id' | 'namespace' | 'name'>): void {
    const key = keyOf(pod);
    if (this.#running.get(key)?.id !== pod.id) return;
    this.#running.delete(key);
    this.#refresh(key);
  }

  #refresh(key: string): void {
    const running = this.#running.get(key);
    const document = this.#documents.get(key);
    if (running !== undefined) this.world.put(podOf(running, document));
    else if (document !== undefined) this.world.put(document);
    else this.world.remove(key);
  }
}

function keyOf({ namespace, name }: Pick<RunningPod, 'namespace' | 'name'>): string {
  return resourceKey({ kind: 'Pod', group: 'core', namespace: namespace || 'default', name });
}

function podOf({ namespace, name, labels, ips }: RunningPod, document: PodResource | undefined): PodResource {
  return {
    type: 'pod',
    origin: {
      file: 'the runtime',
      document: 1,
      kind: 'Pod',
      group: 'core',
      namespace: namespace || 'default',
      name,
    },
    labels: document?.labels ?? { ...labels },
    serviceAccount: document?.serviceAccount ?? 'default',
    isHostNetwork: false,
    isFinished: false,
    ips: ips.map(tryParseIp).filter((ip): ip is IpAddress => ip !== undefined),
    ports: document?.ports ?? [],
  };
}
