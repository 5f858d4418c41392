import { type IpAddress, tryParseIp } from '@amphipod/netlink';
import { type Fields, policyError } from './fields.ts';
import { isPortName, MAX_PORT, readPortProtocol } from './read-values.ts';
import type {
  NamedPort,
  NamespaceResource,
  PodResource,
  ResourceOrigin,
  ServiceAccountResource,
} from './resources.ts';

/** Reads what policies need of a Pod. Everything else in it is passed over. @throws FabricError `invalid-config` */
export function parsePod(document: Fields, origin: ResourceOrigin): PodResource {
  const spec = document.object('spec');
  const status = document.object('status');
  const phase = status?.string('phase');
  const node = spec?.string('nodeName');
  return {
    type: 'pod',
    origin,
    labels: document.object('metadata')!.stringMap('labels'),
    serviceAccount: spec?.string('serviceAccountName') ?? 'default',
    isHostNetwork: spec?.boolean('hostNetwork') ?? false,
    isFinished: phase === 'Succeeded' || phase === 'Failed',
    ips: status === undefined ? [] : readIps(status),
    ports: spec === undefined ? [] : readNamedPorts(spec),
    ...(node !== undefined && { node }),
  };
}

function readIps(status: Fields): IpAddress[] {
  const single = status.string('podIP');
  const listed = status.list('podIPs')?.map((entry) => entry.need('ip', entry.string('ip'))) ?? [];
  const texts = new Set([...(single === undefined || single === '' ? [] : [single]), ...listed]);
  return [...texts].map((text) => {
    const ip = tryParseIp(text);
    if (ip !== undefined) return ip;
    throw policyError(status.place, 'must be an IP address', { path: status.pathOf('podIPs'), value: text });
  });
}

/** Of all containers, the initial ones too: a sidecar is one of them. */
function readNamedPorts(spec: Fields): NamedPort[] {
  const containers = ['containers', 'initContainers'].flatMap((key) => spec.list(key) ?? []);
  return containers
    .flatMap((container) => container.list('ports') ?? [])
    .flatMap((port) => {
      const name = port.string('name');
      if (name === undefined || name === '') return [];
      if (!isPortName(name)) throw port.refusal('name', 'must be the name of a port');
      const number = port.need('containerPort', port.integer('containerPort', 1, MAX_PORT));
      return [{ name, protocol: readPortProtocol(port), port: number }];
    });
}

/** @throws FabricError `invalid-config` */
export function parseNamespace(document: Fields, origin: ResourceOrigin): NamespaceResource {
  const labels = document.object('metadata')!.stringMap('labels');
  return {
    type: 'namespace',
    origin,
    labels: { ...labels, 'kubernetes.io/metadata.name': origin.name },
  };
}

/** @throws FabricError `invalid-config` */
export function parseServiceAccount(document: Fields, origin: ResourceOrigin): ServiceAccountResource {
  return { type: 'service-account', origin, labels: document.object('metadata')!.stringMap('labels') };
}
