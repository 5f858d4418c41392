import { readFileSync } from 'node:fs';
import { CniError, type PluginRequest } from '@amphipod/cni';
import { isCode } from '@amphipod/linux';
import { MAX_VETH_MTU } from '../lib/host-veth.ts';
import { readIpamType } from '../lib/ipam.ts';
import { type KeyReader, readKeys } from '../lib/read-keys.ts';

const MTU_FILE = '/var/lib/calico/mtu';
const MAX_QUEUES = 4096;
/** What containerd and CRI-O call the annotations that they hand to plugins with this capability. */
const ANNOTATIONS_CAPABILITY = 'io.kubernetes.cri.pod-annotations';

export interface CalicoConfig {
  readonly ipamType: string;
  /** Undefined: the kernel's. */
  readonly mtu: number | undefined;
  readonly queues: number;
  /** The pod may forward packets itself. */
  readonly allowIpForwarding: boolean;
  /** Default routes beside those of `ipam.routes`. */
  readonly includeDefaultRoutes: boolean;
  /** How to ask Kubernetes what it knows of the pod; undefined: it is not asked. */
  readonly kubeconfig: string | undefined;
  readonly features: { readonly ipAddrsNoIpam: boolean; readonly floatingIps: boolean };
  /** Networks that the pod has routes to; the default routes when there is none. */
  readonly routes: readonly string[];
  /** Those that the runtime hands over. */
  readonly annotations: Readonly<Record<string, string>>;
}

/** @throws CniError invalid-network-config, try-again-later */
export function readConfig(request: Pick<PluginRequest, 'config'>): CalicoConfig {
  const keys = readKeys(request.config);
  const ipamType = readIpamType(request);
  if (ipamType === undefined)
    keys.refuse('ipam.type', 'key "ipam.type": missing, want the name of an IPAM plugin');
  refuseUnsupported(keys);
  const features = keys.object('feature_control');
  const routes = ipamType === 'calico-ipam' ? [] : (keys.object('ipam')?.objects('routes') ?? []);
  return {
    ipamType: ipamType!,
    mtu: readMtu(keys),
    queues: keys.integer('num_queues', 0, MAX_QUEUES) || 1,
    allowIpForwarding: keys.object('container_settings')?.boolean('allow_ip_forwarding') ?? false,
    includeDefaultRoutes: keys.boolean('include_default_routes') ?? false,
    kubeconfig: readKubeconfigPath(keys),
    features: {
      ipAddrsNoIpam: features?.boolean('ip_addrs_no_ipam') ?? false,
      floatingIps: features?.boolean('floating_ips') ?? false,
    },
    routes: routes.flatMap((route) => route.string('dst') ?? []),
    annotations: Object.fromEntries(
      keys.object('runtimeConfig')?.stringMembers(ANNOTATIONS_CAPABILITY) ?? [],
    ),
  };
}

/** As in the reference, Kubernetes is asked where policy is its. */
function readKubeconfigPath(keys: KeyReader): string | undefined {
  const kubeconfig = keys.object('kubernetes')?.string('kubeconfig') || undefined;
  return keys.object('policy')?.string('type') === 'k8s' ? kubeconfig : undefined;
}

function refuseUnsupported(keys: KeyReader): void {
  const device = keys.string('device_type') || 'veth';
  if (device !== 'veth') keys.fail('device_type', '"veth"');
  if ((keys.strings('readiness_gates') ?? []).length > 0) {
    keys.refuse('readiness_gates', 'readiness_gates is not supported');
  }
}

/** `mtu`, else what the network's agent has written down. */
function readMtu(keys: KeyReader): number | undefined {
  const given = keys.integer('mtu', 0, MAX_VETH_MTU) || undefined;
  const isRequired = keys.boolean('require_mtu_file') ?? false;
  const text = readMtuFile();
  if (text === undefined && isRequired) {
    throw new CniError(
      'try-again-later',
      `read ${MTU_FILE}: no such file: the network's agent has not written it yet`,
      {
        key: 'require_mtu_file',
      },
    );
  }
  if (given !== undefined || text === undefined) return given;
  const mtu = Number(text);
  if (Number.isInteger(mtu) && mtu > 0 && mtu <= MAX_VETH_MTU) return mtu;
  throw new CniError('invalid-network-config', `read ${MTU_FILE}: ${JSON.stringify(text)}: not an MTU`);
}

function readMtuFile(): string | undefined {
  try {
    return readFileSync(MTU_FILE, 'utf8').trim();
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}
