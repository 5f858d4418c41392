import { ipBits, tryParseCidr } from '@amphipod/netlink';
import { cidr, hardwareAddress, interfaceName, ipAddress, network, objectName } from './fields.ts';
import { type Resource, resource } from './metadata.ts';
import { type Place, placeOf, refusal } from './place.ts';
import {
  always,
  anything,
  integer,
  list,
  nullable,
  type ObjectOf,
  object,
  optional,
  required,
  text,
} from './schema.ts';

const MAX_PORT = 65_535;
const CONTAINER_ID = /^[a-zA-Z0-9]([-._a-zA-Z0-9]*[a-zA-Z0-9])?$/;

const endpointPort = object({
  name: always(text(), ''),
  /** `TCP`, `UDP`, `SCTP`, or a number. */
  protocol: required(anything),
  port: required(integer(1, MAX_PORT)),
  hostPort: always(integer(0, MAX_PORT), 0),
  hostIP: always(text(), ''),
});

const fields = {
  /** `k8s` for a Kubernetes pod, `cni` for anything else that comes through CNI. */
  orchestrator: optional(objectName),
  workload: optional(text()),
  node: optional(objectName),
  containerID: optional(
    text((value) => (CONTAINER_ID.test(value) ? undefined : 'must be letters, digits, "-", "_" and "."')),
  ),
  pod: optional(objectName),
  /** The interface in the pod: `eth0`. */
  endpoint: optional(text()),
  serviceAccountName: optional(objectName),
  /** Single addresses: `10.0.0.1/32`, `fd00::1/128`. */
  ipNetworks: optional(list(network())),
  ipNATs: optional(list(object({ internalIP: required(ipAddress()), externalIP: required(ipAddress()) }))),
  ipv4Gateway: optional(ipAddress(4)),
  ipv6Gateway: optional(ipAddress(6)),
  profiles: optional(list(text())),
  /** The interface on the host. */
  interfaceName: optional(interfaceName),
  /** Of the interface in the pod. */
  mac: optional(hardwareAddress),
  ports: optional(list(endpointPort)),
  allowSpoofedSourcePrefixes: optional(list(cidr())),
  qosControls: nullable(anything),
};

export type WorkloadEndpointSpec = ObjectOf<typeof fields>;
export type WorkloadEndpoint = Resource<'WorkloadEndpoint', WorkloadEndpointSpec>;

/** One interface of one pod. */
export const workloadEndpoint = resource('WorkloadEndpoint', object(fields, check));

function check(spec: WorkloadEndpointSpec, place: Place): void {
  for (const [i, text] of (spec.ipNetworks ?? []).entries()) {
    const found = tryParseCidr(text);
    if (found === undefined || found.prefix === ipBits(found.ip.family)) continue;
    throw refusal(placeOf(placeOf(place, 'ipNetworks'), i), text, 'must be a single address');
  }
  const own = new Set((spec.ipNetworks ?? []).map((text) => text.split('/')[0]));
  for (const [i, { internalIP }] of (spec.ipNATs ?? []).entries()) {
    if (own.has(internalIP)) continue;
    throw refusal(placeOf(placeOf(place, 'ipNATs'), i), internalIP, 'is no address of ipNetworks');
  }
}

/**
 * The name that Calico gives a pod's endpoint: `NODE-k8s-POD-eth0`, or `NODE-cni-CONTAINER-eth0`, with the dashes of each part
 * doubled.
 */
function workloadEndpointName(
  spec: Pick<WorkloadEndpointSpec, 'node' | 'orchestrator' | 'pod' | 'containerID' | 'endpoint' | 'workload'>,
): string {
  const { node, orchestrator, endpoint } = spec;
  const what = { k8s: spec.pod, cni: spec.containerID, libnetwork: 'libnetwork' }[orchestrator ?? ''];
  const parts = [node, orchestrator, what ?? spec.workload, endpoint];
  return parts.map((part) => (part ?? '').replaceAll('-', '--')).join('-');
}

/** Calico finds endpoints by their names. @throws FabricError `invalid-resource` */
export function checkEndpointName({ metadata: { name }, spec }: WorkloadEndpoint): void {
  const expected = workloadEndpointName(spec);
  if (name === expected) return;
  const place = { what: 'write WorkloadEndpoint', path: 'metadata.name', isStrict: true };
  throw refusal(place, name, `must be ${expected}, for what spec says`);
}
