import type { Attachment, NetworkConfigList, Result } from '@amphipod/cni';
import { isCode, isNamespace } from '@amphipod/linux';
import type { RuntimeContext } from '../context.ts';
import { CriError } from '../errors.ts';
import { Protocol } from '../gen/api.ts';
import type { Sandbox } from '../store/records.ts';
import { sandboxPaths } from './paths.ts';

/** Attaches a sandbox to the default network and notes its addresses. @throws CriError unavailable without a network */
export async function attachNetwork(
  context: RuntimeContext,
  sandbox: Sandbox,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const list = context.networks.default;
  if (list === undefined) {
    const [first] = context.networks.errors;
    const why = first === undefined ? `no configuration in ${context.config.cniConfDir}` : first.message;
    throw new CriError('unavailable', `attach network: ${why}`, { cause: first });
  }
  // From here on an undo is due, also when the daemon dies in the middle.
  context.store.sandboxes.update(sandbox, { network: list.name });
  const result = await addList(context, sandbox, { list, signal });
  const ips = (result.ips ?? []).map(({ address }) => address.split('/')[0]!);
  if (ips.length === 0)
    throw new CriError('internal', `attach network "${list.name}": the plugins returned no address`);
  context.store.sandboxes.update(sandbox, { ips });
  context.policy?.podAttached(sandbox);
}

async function addList(
  context: RuntimeContext,
  sandbox: Sandbox,
  { list, signal }: { list: NetworkConfigList; signal: AbortSignal },
): Promise<Result> {
  try {
    return await context.cni.addList(list, attachmentOf(context, sandbox), { signal });
  } catch (error) {
    // Nothing was begun, and without the plugin nothing could be undone.
    if (isCode(error, 'plugin-not-found')) context.store.sandboxes.update(sandbox, { network: undefined });
    throw error;
  }
}

/** Undoes {@link attachNetwork}; fine when that is done already. Uses the configuration that the attachment was made with. */
export async function detachNetwork(
  context: RuntimeContext,
  sandbox: Sandbox,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  if (sandbox.network === undefined) return;
  const attachment = attachmentOf(context, sandbox);
  const list =
    context.cni.cachedConfig(sandbox.network, attachment) ?? context.networks.find(sandbox.network);
  if (list !== undefined) await context.cni.delList(list, attachment, { signal });
  else
    context.log.warn('network configuration is gone, nothing to detach with', { network: sandbox.network });
  context.store.sandboxes.update(sandbox, { network: undefined });
  context.policy?.podDetached(sandbox);
}

/** The pod's attachment to its first network. */
export function attachmentOf(context: RuntimeContext, sandbox: Sandbox): Attachment {
  const { config } = sandbox;
  const portMappings = config.portMappings
    .filter(({ hostPort }) => hostPort > 0)
    .map(({ hostPort, containerPort, protocol, hostIp }) => ({
      hostPort,
      containerPort,
      protocol: protocolNames.get(protocol) ?? 'tcp',
      ...(hostIp === '' ? {} : { hostIP: hostIp }),
    }));
  const dns = config.dnsConfig;
  return {
    ...podAttachment(context, sandbox),
    ifName: firstInterface,
    capabilityArgs: {
      // As containerd calls it: calico looks there for the addresses that a pod asks for.
      ...(Object.keys(config.annotations).length > 0 && {
        'io.kubernetes.cri.pod-annotations': config.annotations,
      }),
      ...(portMappings.length > 0 && { portMappings }),
      ...(dns !== undefined && {
        dns: { servers: dns.servers, searches: dns.searches, options: dns.options },
      }),
    },
  };
}

/** The interface of the first network. */
export const firstInterface = 'eth0';

/** What plugins are told of a pod, whichever the network. */
export function podAttachment(
  context: RuntimeContext,
  { config, id }: Sandbox,
): Required<Pick<Attachment, 'containerID' | 'netns' | 'args'>> {
  const pin = sandboxPaths(context.config, id).net;
  const { name = '', namespace = '', uid = '' } = config.metadata ?? {};
  return {
    containerID: id,
    // A plain file where the pin was (field case CNI-18): the plugins are told that there is no namespace.
    netns: isNamespace(pin) ? pin : '',
    args: [
      ['IgnoreUnknown', '1'],
      ['K8S_POD_NAMESPACE', namespace],
      ['K8S_POD_NAME', name],
      ['K8S_POD_INFRA_CONTAINER_ID', id],
      ['K8S_POD_UID', uid],
    ],
  };
}

const protocolNames = new Map<Protocol, string>([
  [Protocol.TCP, 'tcp'],
  [Protocol.UDP, 'udp'],
  [Protocol.SCTP, 'sctp'],
]);
