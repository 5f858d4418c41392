import type { PluginRequest } from '@amphipod/cni';
import type { Datastore, WorkloadEndpoint } from '@amphipod/fabric/client';
import { isCode, type UndoStack } from '@amphipod/linux';
import { type Cidr, formatCidr, formatIp } from '@amphipod/netlink';
import type { PodWishes } from './annotations.ts';
import type { PodFacts } from './pod-facts.ts';
import type { CalicoSession } from './session.ts';
import { endpointName, type Workload } from './workload.ts';

const DELETE_TRIES = 5;

/** A pod's endpoints: one at most, unless an older sandbox had another interface. */
export async function findEndpoints(
  { store }: CalicoSession,
  workload: Workload,
  signal: AbortSignal,
): Promise<WorkloadEndpoint[]> {
  const { listEndpointsNamed } = await import('@amphipod/fabric/calico');
  const { namespace, node, orchestrator } = workload;
  const namePrefix = endpointName({ ...workload, endpoint: '' });
  const found = await listEndpointsNamed(store, { namespace, namePrefix, signal });
  // The names of another pod's can begin alike.
  const isOfWorkload = ({ spec }: WorkloadEndpoint) =>
    spec.node === node &&
    spec.orchestrator === orchestrator &&
    (orchestrator === 'k8s' ? spec.pod === workload.pod : spec.containerID === workload.containerID);
  return found.filter(isOfWorkload);
}

export interface EndpointFacts {
  workload: Workload;
  /** What Kubernetes says of the pod. */
  facts: PodFacts | undefined;
  wishes: PodWishes;
  addresses: readonly Cidr[];
  interfaceName: string;
  mac: string;
}

/** Writes what the pod is, in the place of its older sandbox; undoing deletes it. */
export async function writeEndpoint(
  request: PluginRequest,
  { store }: CalicoSession,
  undo: UndoStack,
  { what, older }: { what: EndpointFacts; older: WorkloadEndpoint | undefined },
): Promise<void> {
  const { createResource, deleteResource, updateResource } = await import('@amphipod/fabric/calico');
  const endpoint = endpointOf(request, what);
  const { name, namespace } = endpoint.metadata;
  let revision: string | undefined;
  undo.defer(`delete WorkloadEndpoint ${name}`, async () => {
    if (revision === undefined) {
      // Without an answer it may have been written all the same.
      await deleteEndpoint(store, what.workload);
      return;
    }
    const id = { name, ...(namespace !== undefined && { namespace }) };
    await deleteResource(store, 'WorkloadEndpoint', { ...id, expected: BigInt(revision) });
  });
  const { signal } = request;
  const written =
    older === undefined
      ? await createResource(store, endpoint, { signal })
      : await updateResource(
          store,
          { ...endpoint, metadata: { ...older.metadata, ...endpoint.metadata } },
          { signal },
        );
  revision = written.metadata.resourceVersion;
}

function endpointOf({ config: { name: network } }: PluginRequest, what: EndpointFacts): WorkloadEndpoint {
  const { workload, facts, wishes, addresses, interfaceName, mac } = what;
  const { node, orchestrator, namespace, pod, containerID, endpoint } = workload;
  const internal = (family: 4 | 6) => addresses.find(({ ip }) => ip.family === family)?.ip;
  const nats = wishes.floatingIps.flatMap((ip) => {
    const inside = internal(ip.family);
    return inside === undefined ? [] : [{ internalIP: formatIp(inside), externalIP: formatIp(ip) }];
  });
  return {
    kind: 'WorkloadEndpoint',
    apiVersion: 'projectcalico.org/v3',
    metadata: {
      name: endpointName(workload),
      namespace,
      ...(facts?.generateName !== undefined && { generateName: facts.generateName }),
      labels: {
        ...facts?.labels,
        'projectcalico.org/namespace': namespace,
        'projectcalico.org/orchestrator': orchestrator,
      },
    },
    spec: {
      orchestrator,
      node,
      containerID,
      ...(pod !== undefined && { pod }),
      endpoint,
      ...(facts?.serviceAccount !== undefined && { serviceAccountName: facts.serviceAccount }),
      ipNetworks: addresses.map(formatCidr),
      ...(nats.length > 0 && { ipNATs: nats }),
      profiles: facts?.profiles ?? [network],
      interfaceName,
      mac,
      ...(facts !== undefined && facts.ports.length > 0 && { ports: facts.ports }),
      ...(wishes.sourcePrefixes.length > 0 && { allowSpoofedSourcePrefixes: wishes.sourcePrefixes }),
    },
  };
}

/**
 * Deletes the endpoint of just this container: that of a newer sandbox of the same pod stays, however late the call is.
 * @returns what it was; undefined when there was none of ours
 */
export async function deleteEndpoint(
  store: Datastore,
  workload: Workload,
  signal?: AbortSignal,
): Promise<WorkloadEndpoint | undefined> {
  const { deleteResource, getResource } = await import('@amphipod/fabric/calico');
  const id = {
    name: endpointName(workload),
    namespace: workload.namespace,
    ...(signal !== undefined && { signal }),
  };
  for (let tries = 1; ; tries++) {
    const found = await getResource(store, 'WorkloadEndpoint', id);
    if (found === undefined || found.spec.containerID !== workload.containerID) return undefined;
    try {
      const expected = BigInt(found.metadata.resourceVersion!);
      await deleteResource(store, 'WorkloadEndpoint', { ...id, expected });
      return found;
    } catch (error) {
      if (!isCode(error, 'conflict') || tries === DELETE_TRIES) throw error;
    }
  }
}
