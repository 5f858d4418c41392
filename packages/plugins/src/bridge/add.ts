import { setTimeout as sleep } from 'node:timers/promises';
import { CniError, type PluginRequest, type Result } from '@amphipod/cni';
import type { UndoStack } from '@amphipod/linux';
import { addrDel, type Cidr, type Link, linkGet, linkSet, parseCidr, type Rtnl } from '@amphipod/netlink';
import { configureInterface } from '../lib/configure-interface.ts';
import type { PluginHost, Pod } from '../lib/host.ts';
import { createVeth, type VethPair } from '../lib/host-veth.ts';
import { addIpMasq, removeIpMasq } from '../lib/ip-masq.ts';
import { ipamAdd } from '../lib/ipam.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { withUndo } from '../lib/with-undo.ts';
import { type BridgeConfig, readConfig } from './config.ts';
import { ensureBridge, hasPorts } from './ensure-bridge.ts';
import { completeGateways, setUpGateways } from './gateway.ts';

/** Waits for the port in steps: the kernel needs a moment, mostly far less than the first. */
const PORT_WAITS_MS = [0, 1, 2, 5, 10, 50, 500, 1000, 1000];

/** A pair of interfaces between bridge and pod, addresses by IPAM, and on demand gateway and masquerading. */
export async function add(request: PluginRequest, host: PluginHost): Promise<Result> {
  const config = readConfig(request);
  using pod = host.openPod(request.netns);
  return await withUndo(async (undo) => {
    const bridge = ensureBridge(host.rtnl, config, undo);
    const addedGateways: Cidr[] = [];
    undo.defer('remove gateway addresses', () => {
      // Undone after the port is gone; ports that are left need the gateway.
      if (addedGateways.length === 0 || hasPorts(host.rtnl, bridge.ifIndex)) return;
      host.memory.gateways.delete(bridge.ifIndex);
      for (const cidr of addedGateways) addrDel(host.rtnl, bridge.ifIndex, cidr);
    });
    const veth = createVeth(host.rtnl, pod, undo, {
      owner: ownerOf(request),
      mtu: config.mtu ?? (bridge.mtu === 0 ? undefined : bridge.mtu),
      mac: config.mac,
      masterIndex: bridge.ifIndex,
      port: { hairpin: config.hairpin, isolated: config.isolated },
    });
    const setting: Setting = { request, config, host, pod, bridge, veth, addedGateways, undo };
    const layer3 = config.ipamType === undefined ? layer2Only(setting) : await addAddresses(setting);
    if (!config.disableContainerInterface) await untilPortIsUp(host.rtnl, veth.host);
    return describe(setting, layer3);
  });
}

interface Setting {
  request: PluginRequest;
  config: BridgeConfig;
  host: PluginHost;
  pod: Pod;
  bridge: Link;
  /** Known and fixed once there is a gateway. */
  bridgeMac?: string;
  veth: VethPair;
  addedGateways: Cidr[];
  undo: UndoStack;
}

function layer2Only({ config, pod, veth }: Setting): Result {
  if (!config.disableContainerInterface) linkSet(pod.rtnl, veth.pod.ifIndex, { up: true });
  return {};
}

async function addAddresses(setting: Setting): Promise<Result> {
  const { request, config, host, pod, bridge, veth, undo } = setting;
  const ipamType = config.ipamType!;
  const fromIpam = await ipamAdd(request, ipamType, undo);
  const result = completeGateways(fromIpam, config);
  if (config.isGateway) {
    const { forceAddress } = config;
    setting.bridgeMac = setUpGateways(host, bridge, result, { forceAddress, added: setting.addedGateways });
  }
  await configureInterface(pod, result, {
    ifIndex: veth.pod.ifIndex,
    ifName: request.ifName,
    enableDad: config.enableDad,
  });
  if (config.ipMasq !== undefined) {
    const owner = ownerOf(request);
    const addresses = (result.ips ?? []).map(({ address }) => parseCidr(address));
    undo.defer('remove masquerading', () => removeIpMasq(host, config.ipMasq, owner, []));
    await addIpMasq(host, config.ipMasq, owner, addresses);
  }
  return result;
}

/** With its operstate up the port forwards; before, the pod's first packets would be lost. */
async function untilPortIsUp(rtnl: Rtnl, { ifIndex }: Link): Promise<void> {
  let state = '';
  for (const waitMs of PORT_WAITS_MS) {
    if (waitMs > 0) await sleep(waitMs);
    state = linkGet(rtnl, ifIndex).operState;
    if (state === 'up') return;
  }
  throw new CniError('internal', `bridge port in error state: ${state}`);
}

function describe({ request, config, host, bridge, bridgeMac, veth }: Setting, layer3: Result): Result {
  // Without a gateway the bridge may have taken the address of the new port.
  const mac = bridgeMac ?? linkGet(host.rtnl, bridge.ifIndex).mac;
  return {
    interfaces: [
      { name: bridge.name, mac },
      { name: veth.host.name, mac: veth.host.mac },
      { name: request.ifName, mac: veth.pod.mac, sandbox: request.netns },
    ],
    ...layer3,
    ...(layer3.ips !== undefined && { ips: layer3.ips.map((ip) => ({ ...ip, interface: 2 })) }),
    ...(config.dns !== undefined && { dns: config.dns }),
  };
}
