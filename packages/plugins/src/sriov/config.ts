import { CniError, type PluginRequest } from '@amphipod/cni';
import { isPciAddress } from '@amphipod/linux';
import type { VfLinkState, VlanProtocol } from '@amphipod/netlink';
import { readIpamType } from '../lib/ipam.ts';
import { type KeyReader, readKeys } from '../lib/read-keys.ts';
import { wantedMac } from '../lib/wanted-mac.ts';

export interface SriovConfig {
  /** PCI address of the virtual function; who gives devices to pods fills it in. */
  deviceId: string | undefined;
  /** What the configuration says about the function; the rest is as a driver starts with. */
  vlan: { id: number; qos: number; protocol: VlanProtocol };
  mac: string | undefined;
  spoofCheck: boolean | undefined;
  trust: boolean;
  linkState: VfLinkState;
  /** Mbit/s; 0: no limit. */
  rate: { min: number; max: number };
  logLevel: LogLevel;
  /** Gets a line for what was done, beside the runtime's log. */
  logFile: string | undefined;
  ipamType: string | undefined;
}

// In the order of what they let through.
export const logLevels = ['panic', 'error', 'warning', 'info', 'debug'] as const;
export type LogLevel = (typeof logLevels)[number];

/** The largest number that IFLA_VF_RATE takes. */
const MAX_RATE = 2 ** 32 - 1;

/** @throws CniError invalid-network-config */
export function readConfig(request: Pick<PluginRequest, 'config' | 'args'>): SriovConfig {
  const keys = readKeys(request.config);
  return {
    deviceId: readDeviceId(keys),
    vlan: readVlan(keys),
    mac: wantedMac(request, { hasKey: true }),
    spoofCheck: readSwitch(keys, 'spoofchk'),
    trust: readSwitch(keys, 'trust') ?? false,
    linkState: readWord(keys, 'link_state', ['auto', 'enable', 'disable']) ?? 'auto',
    rate: readRate(keys),
    logLevel: readWord(keys, 'logLevel', logLevels) ?? 'info',
    logFile: keys.string('logFile') || undefined,
    ipamType: readIpamType(request),
  };
}

/** @throws CniError invalid-network-config when nobody has chosen a device */
export function requireDeviceId({ deviceId }: Pick<SriovConfig, 'deviceId'>): string {
  if (deviceId !== undefined) return deviceId;
  throw new CniError('invalid-network-config', 'LoadConf(): VF pci addr is required', { key: 'deviceID' });
}

function readDeviceId(keys: KeyReader): string | undefined {
  const id = (keys.object('runtimeConfig')?.string('deviceID') || keys.string('deviceID'))?.toLowerCase();
  if (id !== undefined && id !== '' && !isPciAddress(id))
    keys.fail('deviceID', 'a PCI address: "0000:01:10.0"');
  return id || undefined;
}

function readVlan(keys: KeyReader): SriovConfig['vlan'] {
  const id = keys.integer('vlan', 0, 4094) ?? 0;
  const qos = keys.integer('vlanQoS', 0, 7) ?? 0;
  const protocol = (keys.string('vlanProto') || '802.1q').toLowerCase();
  if (protocol !== '802.1q' && protocol !== '802.1ad') keys.fail('vlanProto', '"802.1q" or "802.1ad"');
  if (id === 0 && qos !== 0) {
    keys.refuse('vlanQoS', `LoadConf(): non-zero vlanQoS ${qos} requires a non-zero vlan`);
  }
  if (id === 0 && protocol === '802.1ad') {
    keys.refuse('vlanProto', 'LoadConf(): vlanProto "802.1ad" requires a non-zero vlan');
  }
  return { id, qos, protocol: protocol === '802.1ad' ? '802.1ad' : '802.1Q' };
}

function readRate(keys: KeyReader): SriovConfig['rate'] {
  const min = keys.integer('min_tx_rate', 0, MAX_RATE) ?? 0;
  const max = keys.integer('max_tx_rate', 0, MAX_RATE) ?? 0;
  if (max !== 0 && min > max) {
    keys.refuse('min_tx_rate', `LoadConf(): min_tx_rate ${min} is more than max_tx_rate ${max}`);
  }
  return { min, max };
}

function readSwitch(keys: KeyReader, key: string): boolean | undefined {
  const word = readWord(keys, key, ['on', 'off']);
  return word === undefined ? undefined : word === 'on';
}

function readWord<T extends string>(keys: KeyReader, key: string, words: readonly T[]): T | undefined {
  const value = keys.string(key) || undefined;
  if (value === undefined || (words as readonly string[]).includes(value)) return value as T | undefined;
  return keys.refuse(key, `LoadConf(): invalid ${key} value: ${value}; want ${words.join(', ')}`);
}
