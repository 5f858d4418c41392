import { CniError, type PluginRequest, type Result } from '@amphipod/cni';
import type { IpvlanMode } from '@amphipod/netlink';
import { readIpamType } from '../lib/ipam.ts';
import { type ParentConfig, readParent } from '../lib/parent-link.ts';
import { readKeys } from '../lib/read-keys.ts';

export interface IpvlanConfig extends ParentConfig {
  mode: IpvlanMode;
  ipamType: string | undefined;
}

const modes: readonly string[] = ['l2', 'l3', 'l3s'];

/** @throws CniError invalid-network-config */
export function readConfig(request: Pick<PluginRequest, 'config'>): IpvlanConfig {
  const keys = readKeys(request.config);
  const mode = keys.string('mode') || 'l2';
  if (!modes.includes(mode)) {
    throw new CniError('invalid-network-config', `unknown ipvlan mode: ${JSON.stringify(mode)}`, {
      key: 'mode',
    });
  }
  return { ...readParent(keys), mode: mode as IpvlanMode, ipamType: readIpamType(request) };
}

/** For ADD: in a chain the one interface of the plugin before is the parent, unless the configuration names another. */
export function chainedMaster({ master }: IpvlanConfig, prevResult: Result | undefined): string | undefined {
  if (master !== undefined || prevResult === undefined) return master;
  const { interfaces = [] } = prevResult;
  if (interfaces.length !== 1 || interfaces[0]!.name === '') {
    throw new CniError(
      'invalid-network-config',
      'chained master failure. PrevResult lacks a single named interface',
    );
  }
  return interfaces[0]!.name;
}

/** For ADD: in a chain, and without an IPAM plugin, the addresses of the plugin before. @throws CniError when there are none at all */
export function chainedAddresses(
  { ipamType }: IpvlanConfig,
  prevResult: Result | undefined,
): Result | undefined {
  if (ipamType !== undefined) return undefined;
  if ((prevResult?.ips ?? []).length > 0) return prevResult;
  throw new CniError(
    'invalid-network-config',
    'ipvlan requires an IPAM configuration or a previous result with addresses',
    { key: 'ipam' },
  );
}
