import { type Cidr, formatCidr, formatIp, parseCidr, type Rtnl } from '@amphipod/netlink';
import type { Datastore } from '../datastore/datastore.ts';
import { FabricError } from '../errors.ts';
import { apiVersion } from '../resources/metadata.ts';
import type { Node } from '../resources/node.ts';
import { createResource, getResource, listResources, updateResource } from '../resources/resource-store.ts';
import { detectAddress, hasAddress } from './detect-address.ts';

export interface EnsureNodeOptions {
  store: Datastore;
  nodeName: string;
  rtnl: Rtnl;
  /** Link whose addresses are taken; found unless given. */
  interfaceName?: string | undefined;
  signal: AbortSignal;
}

/**
 * Writes this node's addresses into its Node, where it has none there that an interface still has.
 * @returns true when something was written
 * @throws FabricError `invalid-config` when the node has no address, or another node has it; those of the datastore
 */
export async function ensureNode(options: EnsureNodeOptions): Promise<boolean> {
  const { store, nodeName, signal } = options;
  const found = await getResource(store, 'Node', { name: nodeName, signal });
  const node: Node = found ?? { kind: 'Node', apiVersion, metadata: { name: nodeName }, spec: {} };
  const { bgp = {} } = node.spec;
  const ipv4 = addressFor(options, bgp.ipv4Address, 4);
  const ipv6 = addressFor(options, bgp.ipv6Address, 6);
  if (ipv4 === undefined && ipv6 === undefined) {
    throw new FabricError(
      'invalid-config',
      `find the address of node ${JSON.stringify(nodeName)}: no interface has one that other nodes can use`,
    );
  }
  const next = {
    ...(ipv4 !== undefined && { ipv4Address: formatCidr(ipv4) }),
    ...(ipv6 !== undefined && { ipv6Address: formatCidr(ipv6) }),
  };
  if (next.ipv4Address === bgp.ipv4Address && next.ipv6Address === bgp.ipv6Address && found !== undefined)
    return false;
  for (const address of [ipv4, ipv6]) if (address !== undefined) await refuseTaken(options, address);
  const { ipv4Address: _4, ipv6Address: _6, ...rest } = bgp;
  const changed: Node = { ...node, spec: { ...node.spec, bgp: { ...rest, ...next } } };
  if (found === undefined) await createResource(store, changed, { signal });
  else await updateResource(store, changed, { signal });
  return true;
}

/** The address that the Node has, while it works; else another one, or that one again when there is none. */
function addressFor(
  { rtnl, interfaceName }: EnsureNodeOptions,
  current: string | undefined,
  family: 4 | 6,
): Cidr | undefined {
  const old = current === undefined ? undefined : parseCidr(current);
  if (old !== undefined && hasAddress(rtnl, old)) return old;
  return detectAddress(rtnl, family, interfaceName) ?? old;
}

async function refuseTaken({ store, nodeName, signal }: EnsureNodeOptions, address: Cidr): Promise<void> {
  const { resources } = await listResources(store, 'Node', { signal });
  const other = resources.find(({ metadata, spec }) => {
    const text = address.ip.family === 4 ? spec.bgp?.ipv4Address : spec.bgp?.ipv6Address;
    return metadata.name !== nodeName && text !== undefined && parseCidr(text).ip.value === address.ip.value;
  });
  if (other === undefined) return;
  throw new FabricError(
    'invalid-config',
    `use address ${formatIp(address.ip)} for node ${JSON.stringify(nodeName)}: node ${JSON.stringify(other.metadata.name)} has it`,
  );
}
