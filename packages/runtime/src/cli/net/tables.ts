import type { KindName, Resource, Resources } from '@amphipod/fabric';

/** How resources of a kind are shown in a table. */
export interface Table {
  headings: string[];
  row(resource: Resource): string[];
}

type Columns<R> = Record<string, (resource: R) => string | number | boolean | undefined>;

const columns: { [K in KindName]: Columns<Resources[K]> } = {
  IPPool: {
    CIDR: ({ spec }) => spec.cidr,
    BLOCK: ({ spec }) => `/${spec.blockSize}`,
    NAT: ({ spec }) => spec.natOutgoing,
    IPIP: ({ spec }) => spec.ipipMode,
    VXLAN: ({ spec }) => spec.vxlanMode,
    DISABLED: ({ spec }) => spec.disabled,
    SELECTOR: ({ spec }) => spec.nodeSelector,
  },
  IPReservation: { CIDRS: ({ spec }) => spec.reservedCIDRs?.join(',') },
  BGPConfiguration: {
    MESH: ({ spec }) => spec.nodeToNodeMeshEnabled,
    ASNUMBER: ({ spec }) => spec.asNumber,
    PORT: ({ spec }) => spec.listenPort,
  },
  BGPPeer: {
    PEER: ({ spec }) => spec.peerIP ?? spec.peerSelector ?? spec.localWorkloadSelector,
    NODE: ({ spec }) => spec.node ?? spec.nodeSelector ?? '(all)',
    ASNUMBER: ({ spec }) => spec.asNumber,
  },
  BGPFilter: {
    EXPORT: ({ spec }) => (spec.exportV4?.length ?? 0) + (spec.exportV6?.length ?? 0),
    IMPORT: ({ spec }) => (spec.importV4?.length ?? 0) + (spec.importV6?.length ?? 0),
  },
  Node: {
    ASNUMBER: ({ spec }) => spec.bgp?.asNumber,
    IPV4: ({ spec }) => spec.bgp?.ipv4Address,
    IPV6: ({ spec }) => spec.bgp?.ipv6Address,
  },
  WorkloadEndpoint: {
    NAMESPACE: ({ metadata }) => metadata.namespace,
    WORKLOAD: ({ spec }) => spec.pod ?? spec.containerID ?? spec.workload,
    NODE: ({ spec }) => spec.node,
    NETWORKS: ({ spec }) => spec.ipNetworks?.join(','),
    INTERFACE: ({ spec }) => spec.interfaceName,
  },
  ClusterInformation: { READY: ({ spec }) => spec.datastoreReady },
  IPAMConfiguration: {
    STRICTAFFINITY: ({ spec }) => spec.strictAffinity,
    AUTOALLOCATE: ({ spec }) => spec.autoAllocateBlocks,
    MAXBLOCKS: ({ spec }) => spec.maxBlocksPerHost,
    COOLDOWN: ({ spec }) => `${spec.ipCooldownSeconds ?? 0}s`,
  },
  BlockAffinity: {
    CIDR: ({ spec }) => spec.cidr,
    NODE: ({ spec }) => spec.node,
    STATE: ({ spec }) => spec.state,
  },
  IPAMBlock: {
    CIDR: ({ spec }) => spec.cidr,
    AFFINITY: ({ spec }) => spec.affinity ?? '',
    FREE: ({ spec }) => spec.unallocated.length,
    SIZE: ({ spec }) => spec.allocations.length,
  },
  IPAMHandle: {
    ADDRESSES: ({ spec }) => Object.values(spec.block).reduce((sum, count) => sum + count, 0),
    BLOCKS: ({ spec }) => Object.keys(spec.block).join(','),
  },
};

export function tableOf(kind: KindName): Table {
  const cells = columns[kind] as Columns<Resource>;
  return {
    headings: ['NAME', ...Object.keys(cells)],
    row: (resource) => [
      resource.metadata.name,
      ...Object.values(cells).map((cell) => String(cell(resource) ?? '')),
    ],
  };
}
