import {
  listPciDevices,
  type PciDevice,
  pciNetdevs,
  pfNetdev,
  readPciDevice,
  vfAddresses,
} from '@amphipod/linux';
import { linkFind, openRtnl, type Rtnl, type VfInfo, vfList } from '@amphipod/netlink';
import { deviceHolder, unwantedSettings } from '@amphipod/plugins';
import { defineCommand, outputOption } from '../command.ts';
import { outputFormat, printJson, printTable } from '../output.ts';

/** A virtual function, or a card that has none. */
interface DeviceRow {
  address: string;
  /** Of a virtual function: its physical one's interface and its number there. */
  pf?: string;
  vf?: number;
  interface?: string;
  driver?: string;
  numaNode?: number;
  /** Virtual functions that there are, and can be. */
  vfCount?: number;
  totalVfs?: number;
  settings?: VfInfo;
  /** `NETWORK CONTAINER/INTERFACE`, or the namespace where the reference's plugin has given it away. */
  holder?: string;
  /** The pod that has it is gone and has not given it back. */
  isLost?: boolean;
  /** Settings that are not as its pod asked for, or that nobody has asked for. */
  unwanted?: string[];
}

export const command = defineCommand({
  name: 'net devices',
  summary: 'Show network cards, their virtual functions and who has them',
  operands: '',
  arity: [0, 0],
  isLocal: true,
  options: outputOption,
  details: `Reads this machine; no runtime is needed. SETTINGS are those that differ from what a driver starts with; UNWANTED those that differ
from what the pod of the function asked for, or that are there without a pod.

Example:
  amphipod net devices`,
  async run(_operands, options, { stdout }) {
    const format = outputFormat(options.output);
    using rtnl = openRtnl();
    const rows = listPciDevices()
      .filter(({ class: code, pfAddress }) => code.startsWith('02') && pfAddress === undefined)
      .flatMap((device) => describeCard(rtnl, device));
    if (format === 'json') printJson(stdout, rows);
    else {
      const headings = [
        'ADDRESS',
        'CARD',
        'VF',
        'INTERFACE',
        'DRIVER',
        'NUMA',
        'SETTINGS',
        'POD',
        'UNWANTED',
      ];
      printTable(stdout, headings, rows.map(cells));
    }
    return 0;
  },
});

function describeCard(rtnl: Rtnl, card: PciDevice): DeviceRow[] {
  const pf = pfNetdev(card.address);
  const link = pf === undefined ? undefined : linkFind(rtnl, pf);
  const settings = link === undefined ? [] : vfList(rtnl, link.ifIndex);
  const { address, vfCount, totalVfs } = card;
  const functions = vfAddresses(address).map((vfAddress, vf) => {
    const [netdev] = pciNetdevs(vfAddress);
    const now = settings.find(({ index }) => index === vf);
    return {
      // Gone between the two looks: its address is all there is to tell.
      ...common(readPciDevice(vfAddress) ?? { address: vfAddress }),
      ...(pf !== undefined && { pf }),
      vf,
      ...(netdev !== undefined && { interface: netdev }),
      ...(now !== undefined && { settings: now, unwanted: unwantedSettings(vfAddress, now) }),
      ...holderOf(vfAddress),
    };
  });
  const row = {
    ...common(card),
    ...(pf !== undefined && { interface: pf }),
    ...(totalVfs !== undefined && { vfCount: vfCount ?? 0, totalVfs }),
  };
  return [row, ...functions];
}

function common({ address, driver, numaNode }: Pick<PciDevice, 'address' | 'driver' | 'numaNode'>) {
  return { address, ...(driver !== undefined && { driver }), ...(numaNode !== undefined && { numaNode }) };
}

function holderOf(address: string): Pick<DeviceRow, 'holder' | 'isLost'> {
  const found = deviceHolder(address);
  if (found === undefined) return {};
  const { owner, netns, isAlive } = found;
  const holder = owner === undefined ? netns : `${owner.network} ${owner.containerID}/${owner.ifName}`;
  return { holder, ...(!isAlive && { isLost: true }) };
}

function cells(row: DeviceRow): string[] {
  const { address, pf, vf, driver = '-', numaNode, vfCount, totalVfs, unwanted = [] } = row;
  const [network, pod] = row.holder?.split(' ') ?? [];
  const holder =
    row.holder === undefined ? '' : `${network} ${shorten(pod ?? '')}${row.isLost ? ' (lost)' : ''}`;
  return [
    ...[
      address,
      pf ?? '-',
      vf === undefined ? (totalVfs === undefined ? '-' : `${vfCount}/${totalVfs}`) : `${vf}`,
    ],
    ...[row.interface ?? '-', driver, numaNode === undefined ? '-' : `${numaNode}`],
    ...[row.settings === undefined ? '' : describeSettings(row.settings), holder.trim(), unwanted.join(', ')],
  ];
}

/** Ids are long. */
function shorten(pod: string): string {
  return pod.replace(/^([0-9a-f]{12})[0-9a-f]{52}/, '$1');
}

function describeSettings({ vlan, trust, spoofCheck, linkState, rate }: VfInfo): string {
  const parts = [
    vlan.id === 0 ? '' : `vlan ${vlan.id}${vlan.qos === 0 ? '' : ` qos ${vlan.qos}`}`,
    trust === true ? 'trust on' : '',
    spoofCheck === false ? 'spoofchk off' : '',
    linkState === 'auto' ? '' : `state ${linkState}`,
    rate.min === 0 ? '' : `min ${rate.min} Mbit/s`,
    rate.max === 0 ? '' : `max ${rate.max} Mbit/s`,
  ];
  return parts.filter((part) => part !== '').join(', ');
}
