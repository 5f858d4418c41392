export { type AgentOptions, runAgent } from './agent/run-agent.ts';
export { type Bgp, type BgpOptions, startBgp } from './bgp/bgp.ts';
export type { BgpFacts } from './bgp/bgp-facts.ts';
export type { BirdConfig } from './bgp/bird-config.ts';
export { askBird } from './bgp/bird-control.ts';
export { type BirdRoute, parseRoutes, parseSessions, type SessionState } from './bgp/bird-state.ts';
export { ensureNode } from './bgp/ensure-node.ts';
export { type Export, explainExport } from './bgp/explain-export.ts';
export { type JudgedRoute, judgeRoute, type Verdict } from './bgp/judge-route.ts';
export { readFacts } from './bgp/read-facts.ts';
export { renderBird } from './bgp/render-bird.ts';
export { type RoutedOptions, runRouted } from './bgp/run-routed.ts';
export { secretsIn } from './bgp/secrets.ts';
export { type Hop, type LocalView, podAddresses, traceRoute } from './bgp/trace-route.ts';
export { type WantedBird, wantedBird } from './bgp/wanted-bird.ts';
export type { Change, Datastore, WatchEvent } from './datastore/datastore.ts';
export { openEmbeddedDatastore } from './datastore/embedded.ts';
export { openEtcdDatastore } from './datastore/etcd.ts';
export type { EtcdClientOptions, EtcdTls } from './datastore/etcd-client.ts';
export { FabricError, type FabricErrorCode } from './errors.ts';
export { isYoungerThan, readAddressUse } from './ipam/address-use.ts';
export type { AllocateRequest, FamilyWish } from './ipam/allocate.ts';
export type { AssignRequest } from './ipam/assign.ts';
export type { Owner } from './ipam/block.ts';
export { type AddressUse, type Finding, findMistakes } from './ipam/check.ts';
export { createIpam, type Ipam, type IpamOptions } from './ipam/ipam.ts';
export { type Observation, observe } from './ipam/observe.ts';
export { type Repaired, type RepairOptions, repair } from './ipam/repair.ts';
export { acquireLease, leasesPrefix } from './overlay/acquire-lease.ts';
export { type NetworkConfig, parseNetworkConfig } from './overlay/network-config.ts';
export { type Overlay, startOverlay } from './overlay/overlay.ts';
export { readUnderlay } from './overlay/read-underlay.ts';
export type { KernelView } from './overlay/sync-kernel.ts';
export type { BgpConfiguration, BgpConfigurationSpec } from './resources/bgp-configuration.ts';
export type { BgpFilter, BgpFilterOperation, BgpFilterRule, BgpFilterSpec } from './resources/bgp-filter.ts';
export type { BgpPeer, BgpPeerSpec } from './resources/bgp-peer.ts';
export type { AffinityId, BlockAffinity } from './resources/block-affinity.ts';
export type { ClusterInformation } from './resources/cluster-information.ts';
export { type ReadDocument, readDocuments } from './resources/documents.ts';
export { parseIpAndPort } from './resources/fields.ts';
export { formatJson, formatYaml } from './resources/format-documents.ts';
export { goDurationMs } from './resources/go-duration.ts';
export type { IpPool, IpPoolSpec } from './resources/ip-pool.ts';
export type { IpReservation, IpReservationSpec } from './resources/ip-reservation.ts';
export type { AllocationAttribute, IpamBlock } from './resources/ipam-block.ts';
export type { IpamConfig, IpamConfiguration, IpamConfigurationSpec } from './resources/ipam-config.ts';
export type { IpamHandle } from './resources/ipam-handle.ts';
export type { BlockAffinityResource, IpamBlockResource, IpamHandleResource } from './resources/ipam-kinds.ts';
export { findKind, type Kind, type KindName, kinds, type Resources } from './resources/kinds.ts';
export { apiVersion, type Resource, type ResourceMetadata } from './resources/metadata.ts';
export type { Node, NodeSpec } from './resources/node.ts';
export {
  applyResource,
  createResource,
  decodeAll,
  deleteResource,
  getResource,
  listResources,
  type ResourceId,
  type ResourceList,
  updateResource,
} from './resources/resource-store.ts';
export { type Labels, parseSelector, type Selector, selects } from './resources/selector.ts';
export {
  type WorkloadEndpoint,
  type WorkloadEndpointSpec,
  workloadEndpointName,
} from './resources/workload-endpoint.ts';
