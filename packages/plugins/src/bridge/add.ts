import type { PluginRequest, Result } from '@amphipod/cni';
import type { UndoStack } from '@amphipod/linux';
import {
  addrDel,
  bridgeVlanAddRequest,
  type Cidr,
  type Link,
  linkGet,
  linkSet,
  parseCidr,
  type Rtnl,
} from '@amphipod/netlink';
import { configureInterface } from '../lib/configure-interface.ts';
import type { PluginHost, Pod } from '../lib/host.ts';
import { createVeth, type VethPair } from '../lib/host-veth.ts';
import { addIpMasq } from '../lib/ip-masq.ts';
import { ipamAdd } from '../lib/ipam.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { untilUp } from '../lib/until-up.ts';
import { withUndo } from '../lib/with-undo.ts';
import { type BridgeConfig, readConfig } from './config.ts';
import { ensureBridge, hasPorts } from './ensure-bridge.ts';
import { completeGateways, gatewaysOf, setUpGateways } from './gateway.ts';
import { addMacSpoofCheck, removeMacSpoofCheck } from './mac-spoof-check.ts';
import { isVlanUsed, portVlanRequests } from './port-vlans.ts';
import { ensureVlanInterface } from './vlan-interface.ts';

/** A pair of interfaces between bridge and pod, addresses by IPAM, and on demand gateway and masquerading. */
export async function add(request: PluginRequest, host: PluginHost): Promise<Result> {
  const config = readConfig(request);
  using pod = host.openPod(request.netns);
  return await withUndo(async (undo) => {
    const bridge = ensureBridge(host.rtnl, config, undo);
    const gatewayLink = ensureGatewayLink(host.rtnl, config, bridge, undo);
    const addedGateways: Cidr[] = [];
    undo.defer('remove gateway addresses', () => {
      // Undone after the port is gone; ports that are left need the gateway.
      if (addedGateways.length === 0 || isGatewayUsed(host.rtnl, config, bridge)) return;
      host.memory.gateways.delete(gatewayLink.ifIndex);
      for (const cidr of addedGateways) addrDel(host.rtnl, gatewayLink.ifIndex, cidr);
    });
    const veth = createPort({ request, config, host, pod, bridge, gatewayLink, undo });
    if (config.macSpoofCheck) checkMacs(request, host, veth, undo);
    const setting: Setting = { request, config, host, pod, bridge, gatewayLink, veth, addedGateways, undo };
    const layer3 = config.ipamType === undefined ? layer2Only(setting) : await addAddresses(setting);
    if (!config.disableContainerInterface) await untilUp(host.rtnl, veth.host, 'bridge port');
    return describe(setting, layer3);
  });
}

interface Setting {
  request: PluginRequest;
  config: BridgeConfig;
  host: PluginHost;
  pod: Pod;
  bridge: Link;
  /** What has the gateway addresses: the bridge, or the machine's interface in a VLAN of it. */
  gatewayLink: Link;
  /** Known and fixed once there is a gateway. */
  bridgeMac?: string;
  veth: VethPair;
  addedGateways: Cidr[];
  undo: UndoStack;
}

function ensureGatewayLink(rtnl: Rtnl, config: BridgeConfig, bridge: Link, undo: UndoStack): Link {
  const vlanId = config.vlans?.vlanId;
  if (vlanId === undefined || !config.isGateway || config.ipamType === undefined) return bridge;
  return ensureVlanInterface(rtnl, bridge, vlanId, undo);
}

function isGatewayUsed(rtnl: Rtnl, { vlans }: BridgeConfig, { ifIndex }: Link): boolean {
  return vlans?.vlanId === undefined ? hasPorts(rtnl, ifIndex) : isVlanUsed(rtnl, ifIndex, vlans.vlanId);
}

function createPort({
  request,
  config,
  host,
  pod,
  bridge,
  gatewayLink,
  undo,
}: Omit<Setting, 'veth' | 'addedGateways'>): VethPair {
  const { vlans } = config;
  return createVeth(host.rtnl, pod, undo, {
    owner: ownerOf(request),
    mtu: config.mtu ?? (bridge.mtu === 0 ? undefined : bridge.mtu),
    mac: config.mac,
    bridge: { ifIndex: bridge.ifIndex, port: { hairpin: config.hairpin, isolated: config.isolated } },
    ...(vlans !== undefined && {
      setUp: (ifIndex) => [
        ...portVlanRequests(ifIndex, bridge, vlans),
        // Should somebody have taken it from the bridge, the gateway would be cut off.
        ...(gatewayLink.kind === 'vlan'
          ? [bridgeVlanAddRequest(bridge.ifIndex, { vlanId: vlans.vlanId!, isSelf: true })]
          : []),
      ],
    }),
  });
}

function checkMacs(request: PluginRequest, { nft }: PluginHost, veth: VethPair, undo: UndoStack): void {
  const owner = ownerOf(request);
  undo.defer('remove MAC spoof check', () => removeMacSpoofCheck(nft, owner, undefined));
  addMacSpoofCheck(nft, owner, { name: veth.host.name, mac: veth.pod.mac });
}

function layer2Only({ config, pod, veth }: Setting): Result {
  if (!config.disableContainerInterface) linkSet(pod.rtnl, veth.pod.ifIndex, { up: true });
  return {};
}

async function addAddresses(setting: Setting): Promise<Result> {
  const { request, config, host, pod, bridge, gatewayLink, veth, undo } = setting;
  const ipamType = config.ipamType!;
  const fromIpam = await ipamAdd(request, ipamType, undo);
  const result = completeGateways(fromIpam, config);
  if (config.isGateway) {
    const options = { forceAddress: config.forceAddress, added: setting.addedGateways };
    const mac = setUpGateways(host, gatewayLink, gatewaysOf(result), options);
    setting.bridgeMac = gatewayLink === bridge ? mac : bridge.mac;
  }
  await configureInterface(pod, result, {
    ifIndex: veth.pod.ifIndex,
    ifName: request.ifName,
    enableDad: config.enableDad,
  });
  const addresses = (result.ips ?? []).map(({ address }) => parseCidr(address));
  await addIpMasq(host, config.ipMasq, { owner: ownerOf(request), addresses, undo });
  return result;
}

function describe(setting: Setting, layer3: Result): Result {
  const { request, config, host, bridge, bridgeMac, gatewayLink, veth } = setting;
  // Without a gateway the bridge may have taken the address of the new port.
  const mac = bridgeMac ?? linkGet(host.rtnl, bridge.ifIndex).mac;
  return {
    interfaces: [
      { name: bridge.name, mac },
      { name: veth.host.name, mac: veth.host.mac },
      { name: request.ifName, mac: veth.pod.mac, sandbox: request.netns },
      ...(gatewayLink === bridge ? [] : [{ name: gatewayLink.name, mac: gatewayLink.mac }]),
    ],
    ...layer3,
    ...(layer3.ips !== undefined && { ips: layer3.ips.map((ip) => ({ ...ip, interface: 2 })) }),
    ...(config.dns !== undefined && { dns: config.dns }),
  };
}
