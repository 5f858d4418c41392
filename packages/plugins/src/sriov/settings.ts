import { CniError } from '@amphipod/cni';
import { type Rtnl, type VfInfo, type VfSettings, vfSet } from '@amphipod/netlink';
import type { SriovConfig } from './config.ts';
import type { VirtualFunction } from './virtual-function.ts';

/** The keys that stand behind each setting, for errors. */
const keysOf: Record<keyof VfSettings, string> = {
  vlan: 'vlan, vlanQoS, vlanProto',
  mac: 'mac',
  rate: 'min_tx_rate, max_tx_rate',
  spoofCheck: 'spoofchk',
  trust: 'trust',
  linkState: 'link_state',
};
/** In the order in which they are set. */
const order = Object.keys(keysOf) as (keyof VfSettings)[];

/** As every driver starts. */
export const defaultSettings: VfSettings = {
  vlan: { id: 0, qos: 0, protocol: '802.1Q' },
  rate: { min: 0, max: 0 },
  trust: false,
  linkState: 'auto',
};

/**
 * What an attachment asks for: the configuration, and for what it does not say that which a driver starts with, whatever the
 * attachment before left (field case SRI-02). Spoof check and hardware address start differently from driver to driver and stay.
 */
export function wantedSettings(config: SriovConfig): VfSettings {
  const { vlan, mac, rate, spoofCheck, trust, linkState } = config;
  return {
    ...{ vlan, rate, trust, linkState },
    ...(mac !== undefined && { mac }),
    ...(spoofCheck !== undefined && { spoofCheck }),
  };
}

/** Settings that are not as wanted. One that the driver does not tell differs only from something other than off. */
export function differences(wanted: VfSettings, current: VfInfo): VfSettings {
  const isSame = (key: keyof VfSettings) =>
    JSON.stringify(normal(wanted[key])) === JSON.stringify(normal(current[key] ?? false));
  return Object.fromEntries(
    order.filter((key) => wanted[key] !== undefined && !isSame(key)).map((key) => [key, wanted[key]]),
  );
}

/** The order of members says nothing, and neither does the protocol of no VLAN. */
function normal(value: VfSettings[keyof VfSettings]): unknown {
  if (typeof value !== 'object') return value;
  if ('protocol' in value) return [value.id, value.qos, value.id === 0 ? '' : value.protocol];
  return [value.min, value.max];
}

/** Makes the settings so, one after another. @throws CniError that names the key of the one that the driver refuses */
export function applySettings(rtnl: Rtnl, vf: VirtualFunction, settings: VfSettings): void {
  for (const key of order) {
    if (settings[key] === undefined) continue;
    try {
      vfSet(rtnl, vf.pfIndex, { index: vf.index, [key]: settings[key] });
    } catch (cause) {
      throw new CniError(
        'internal',
        `failed to set ${keysOf[key]} of ${vf.address} (vf ${vf.index} of ${vf.pfName}): ${(cause as Error).message}`,
        { key: keysOf[key], cause },
      );
    }
  }
}

/** `vlan 100 qos 3 802.1Q`: for people. */
export function describeSetting(key: keyof VfSettings, settings: VfSettings): string {
  const value = settings[key];
  if (typeof value === 'boolean') return `${keysOf[key]} ${value ? 'on' : 'off'}`;
  return `${keysOf[key]} ${typeof value === 'object' ? Object.values(value).join('/') : value}`;
}
