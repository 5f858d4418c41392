import type { RuntimeContext } from '../../context.ts';
import { kubeletDevices } from '../../devices/kubelet-devices.ts';
import { CriError } from '../../errors.ts';
import type { Sandbox } from '../../store/records.ts';
import type { NetworkDefinition } from './definitions.ts';

/** Devices that the kubelet has allocated to the pod for this network; undefined without a kubelet. @throws ServiceError */
export async function allocatedDevices(
  context: RuntimeContext,
  sandbox: Sandbox,
  { resourceName }: NetworkDefinition,
): Promise<string[] | undefined> {
  if (resourceName === undefined) return undefined;
  const { name = '', namespace = '' } = sandbox.config.metadata ?? {};
  return await kubeletDevices(context.config.podResourcesSocket, { name, namespace }, resourceName);
}

/**
 * A device for an attachment to a network that needs one: of those allocated, or, without a kubelet, of the pool; one that no pod has.
 * The caller notes it before anything else can happen. Undefined for other networks.
 * @throws CriError resource-exhausted, failed-precondition
 */
export function pickDevice(
  { store, devices }: RuntimeContext,
  { resourceName }: NetworkDefinition,
  allocated: readonly string[] | undefined,
): string | undefined {
  if (resourceName === undefined) return undefined;
  const attachments = store.sandboxes.list().flatMap(({ furtherNetworks = [] }) => furtherNetworks);
  const taken = new Set(attachments.map(({ deviceId }) => deviceId));
  if (allocated === undefined) return devices.pick(resourceName, taken);
  const free = allocated.find((id) => !taken.has(id));
  if (free !== undefined) return free;
  throw new CriError(
    'resource-exhausted',
    `find device: the kubelet has given the pod ${allocated.length} of "${resourceName}" and all are in use: each network that needs one has to be in the resources of a container`,
  );
}
