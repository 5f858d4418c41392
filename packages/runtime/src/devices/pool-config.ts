import { readFileSync } from 'node:fs';
import { isCode, isPciAddress } from '@amphipod/linux';
import { CriError } from '../errors.ts';

/** What a device has to be like; every list that is given has to have it. */
export interface DeviceSelector {
  vendors?: string[];
  devices?: string[];
  drivers?: string[];
  pciAddresses?: string[];
  /** Interface of the physical function, or the device's own; with `#0-3,5` these virtual functions only. */
  pfNames?: string[];
  /** PCI address of the physical function, with numbers as {@link pfNames}. */
  rootDevices?: string[];
  /** Devices for programs in user space need /dev/vhost-net too. */
  needVhostNet: boolean;
}

/** Devices that are alike to those who ask for one. */
export interface DevicePool {
  /** `intel.com/fast` */
  resourceName: string;
  /** A device is in the pool when one of them takes it. */
  selectors: DeviceSelector[];
  /** The kubelet is not told of NUMA nodes. */
  excludeTopology: boolean;
}

export interface DeviceConfig {
  pools: DevicePool[];
  /** How many virtual functions there are to be, by interface or PCI address of the physical one. Ours, not the peer's. */
  vfCounts: Record<string, number>;
}

const DEFAULT_PREFIX = 'intel.com';
const listKeys = ['vendors', 'devices', 'drivers', 'pciAddresses', 'pfNames', 'rootDevices'] as const;

/**
 * Reads a file in the format of sriov-network-device-plugin, with the key `vfCounts` beside `resourceList`. Without a file there are no
 * pools. @throws CriError invalid-argument that names file, key and value
 */
export function readDeviceConfig(file: string): DeviceConfig {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR')) return { pools: [], vfCounts: {} };
    throw error;
  }
  return parseDeviceConfig(text, file);
}

/** {@link readDeviceConfig} of a text. */
export function parseDeviceConfig(text: string, file: string): DeviceConfig {
  const fail = (key: string, why: string): never => {
    throw new CriError('invalid-argument', `read devices ${file}: ${key}: ${why}`);
  };
  const object = asObject(parse(text, fail), 'the file', fail);
  refuseOthers(object, ['resourceList', 'vfCounts'], { at: '', fail });
  const { resourceList = [], vfCounts = {} } = object;
  if (!Array.isArray(resourceList)) return fail('resourceList', 'want a list');
  const pools = resourceList.map((value, i) => readPool(value, `resourceList[${i}]`, fail));
  for (const [i, { resourceName }] of pools.entries()) {
    const isTwice = pools.findIndex((other) => other.resourceName === resourceName) !== i;
    if (isTwice) fail(`resourceList[${i}].resourceName`, `${JSON.stringify(resourceName)} is there already`);
  }
  return { pools, vfCounts: readCounts(vfCounts, fail) };
}

type Fail = (key: string, why: string) => never;

function parse(text: string, fail: Fail): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    return fail('JSON', (cause as Error).message);
  }
}

function asObject(value: unknown, key: string, fail: Fail): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  return fail(key, `got ${JSON.stringify(value)}, want an object`);
}

/** A selector that is not heeded would give away devices that it was to keep back. */
function refuseOthers(
  object: Record<string, unknown>,
  known: readonly string[],
  { at, fail }: { at: string; fail: Fail },
): void {
  const other = Object.keys(object).find((key) => !known.includes(key));
  if (other !== undefined) fail(`${at}${other}`, `not supported; known are ${known.join(', ')}`);
}

function readPool(value: unknown, at: string, fail: Fail): DevicePool {
  const object = asObject(value, at, fail);
  const known = ['resourceName', 'resourcePrefix', 'deviceType', 'excludeTopology', 'selectors'];
  refuseOthers(object, known, { at: `${at}.`, fail });
  const { resourceName, resourcePrefix = DEFAULT_PREFIX, deviceType = 'netDevice' } = object;
  const { excludeTopology = false, selectors = {} } = object;
  if (typeof resourceName !== 'string' || !/^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/.test(resourceName)) {
    return fail(
      `${at}.resourceName`,
      `got ${JSON.stringify(resourceName)}, want letters, digits, "-", "_", "."`,
    );
  }
  if (typeof resourcePrefix !== 'string' || resourcePrefix === '' || resourcePrefix.includes('/')) {
    return fail(
      `${at}.resourcePrefix`,
      `got ${JSON.stringify(resourcePrefix)}, want a domain: "example.com"`,
    );
  }
  if (deviceType !== 'netDevice')
    fail(`${at}.deviceType`, `got ${JSON.stringify(deviceType)}, want "netDevice"`);
  if (typeof excludeTopology !== 'boolean') fail(`${at}.excludeTopology`, 'want true or false');
  const list = Array.isArray(selectors) ? selectors : [selectors];
  return {
    resourceName: `${resourcePrefix}/${resourceName}`,
    excludeTopology: excludeTopology === true,
    selectors: list.map((each, i) =>
      readSelector(each, Array.isArray(selectors) ? `${at}.selectors[${i}]` : `${at}.selectors`, fail),
    ),
  };
}

function readSelector(value: unknown, at: string, fail: Fail): DeviceSelector {
  const object = asObject(value, at, fail);
  refuseOthers(object, [...listKeys, 'needVhostNet'], { at: `${at}.`, fail });
  const selector: DeviceSelector = { needVhostNet: object.needVhostNet === true };
  for (const key of listKeys) {
    const list = object[key];
    if (list === undefined) continue;
    if (!Array.isArray(list) || !list.every((item) => typeof item === 'string')) {
      fail(`${at}.${key}`, `got ${JSON.stringify(list)}, want a list of strings`);
    }
    selector[key] = (list as string[]).map((item) =>
      key === 'pfNames' || key === 'drivers' ? item : item.toLowerCase(),
    );
  }
  for (const name of [...(selector.pfNames ?? []), ...(selector.rootDevices ?? [])]) {
    if (parseRoot(name) === undefined) fail(at, `${JSON.stringify(name)}: want NAME or NAME#0-3,5`);
  }
  return selector;
}

/** `ens1f0#0-3,5` as a name and the numbers of virtual functions; undefined when it is none. */
export function parseRoot(text: string): { root: string; indexes: Set<number> | undefined } | undefined {
  const [root = '', ranges, ...more] = text.split('#');
  if (root === '' || more.length > 0) return undefined;
  if (ranges === undefined) return { root, indexes: undefined };
  const indexes = new Set<number>();
  for (const range of ranges.split(',')) {
    const [, from, to = from] = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(range.trim()) ?? [];
    if (from === undefined || Number(from) > Number(to)) return undefined;
    for (let i = Number(from); i <= Number(to); i++) indexes.add(i);
  }
  return { root, indexes };
}

function readCounts(value: unknown, fail: Fail): Record<string, number> {
  const counts = asObject(value, 'vfCounts', fail);
  for (const [pf, count] of Object.entries(counts)) {
    const isName = isPciAddress(pf) || /^[^\s/:]{1,15}$/.test(pf);
    if (!isName) fail(`vfCounts.${pf}`, 'want an interface or a PCI address');
    if (!Number.isInteger(count) || (count as number) < 0) {
      fail(`vfCounts.${pf}`, `got ${JSON.stringify(count)}, want a number of virtual functions`);
    }
  }
  return counts as Record<string, number>;
}
