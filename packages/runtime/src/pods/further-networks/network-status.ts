import type { Dns, Result } from '@amphipod/cni';
import type { RuntimeContext } from '../../context.ts';
import { errorText } from '../../errors.ts';
import type { Sandbox } from '../../store/records.ts';
import { attachmentOf } from '../network.ts';
import { furtherAttachment } from './attach.ts';

/** The annotation that tells what became of {@link NETWORKS_ANNOTATION} (the same standard, 5). */
export const STATUS_ANNOTATION = 'k8s.v1.cni.cncf.io/network-status';

/** One network of a pod. */
export interface NetworkStatus {
  name: string;
  interface: string;
  ips: string[];
  mac?: string;
  mtu?: number;
  /** The first network, by which the pod is known. */
  default?: boolean;
  dns: Dns;
  'default-route'?: string[];
  'device-info'?: { type: 'pci'; version: '1.1.0'; pci: { 'pci-address': string } };
}

/** All networks of a pod, the first one first, by the results of their plugins. */
export function networkStatus(context: RuntimeContext, sandbox: Sandbox): NetworkStatus[] {
  const first =
    sandbox.network === undefined
      ? []
      : [
          {
            ...describe(context, { network: sandbox.network, ...attachmentOf(context, sandbox) }),
            name: sandbox.network,
            default: true,
          },
        ];
  const further = (sandbox.furtherNetworks ?? []).map((each) => ({
    ...describe(context, { network: each.network, ...furtherAttachment(context, sandbox, each) }),
    name: each.definition,
    ...(each.defaultRoute !== undefined && { 'default-route': each.defaultRoute }),
    ...(each.deviceId !== undefined && { 'device-info': deviceInfo(each.deviceId) }),
  }));
  return [...first, ...further];
}

function deviceInfo(address: string): NonNullable<NetworkStatus['device-info']> {
  return { type: 'pci', version: '1.1.0', pci: { 'pci-address': address } };
}

function describe(
  context: RuntimeContext,
  { network, containerID, ifName }: { network: string; containerID: string; ifName: string },
): Omit<NetworkStatus, 'name'> {
  const { interfaces = [], ips = [], dns = {} } = resultOf(context, network, { containerID, ifName });
  const index = interfaces.findIndex(({ name, sandbox }) => name === ifName && sandbox !== undefined);
  const { mac, mtu } = interfaces[index] ?? {};
  return {
    interface: ifName,
    ips: ips
      .filter((ip) => ip.interface === undefined || ip.interface === index)
      .map(({ address }) => address.split('/')[0]!),
    ...(mac !== undefined && { mac }),
    ...(mtu !== undefined && { mtu }),
    dns,
  };
}

/** A damaged cache must not keep the pod's status from being told. */
function resultOf(
  { cni, log }: RuntimeContext,
  network: string,
  attachment: { containerID: string; ifName: string },
): Result {
  try {
    return cni.cachedResult(network, attachment) ?? {};
  } catch (error) {
    log.warn('read result of network', { network, error: errorText(error) });
    return {};
  }
}
