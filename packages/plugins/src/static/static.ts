import { type Plugin, type ResultIp, specVersions } from '@amphipod/cni';
import { compareIp, formatCidr, formatIp, parseCidr, parseIp } from '@amphipod/netlink';
import { checkFailure } from '../lib/check-interface.ts';
import { requirePrevResult } from '../lib/prev-result.ts';
import { readConfig, type StaticAddress } from './config.ts';

/** Gives the addresses that the configuration or the runtime names, and keeps nothing; docs/plugins/static.md */
export const staticIpam: Plugin<unknown> = {
  type: 'static',
  about: 'CNI static plugin of Amphipod',
  versions: specVersions,

  async add(request) {
    const { addresses, routes, dns } = readConfig(request);
    return {
      ...(addresses.length > 0 && { ips: addresses.map(toResultIp) }),
      ...(routes.length > 0 && { routes }),
      ...(Object.keys(dns).length > 0 && { dns }),
    };
  },

  async del() {
    // Nothing was taken.
  },

  async check(request) {
    const { addresses } = readConfig(request);
    const { ips = [] } = requirePrevResult(request);
    const missing = addresses.find((wanted) => !ips.some((ip) => isSame(wanted, ip)));
    if (missing !== undefined) {
      throw checkFailure(
        `static: Failed to match addr ${formatIp(missing.address.ip)} on interface ${request.ifName}`,
      );
    }
  },

  async status(request) {
    // What ADD would stumble over: there is nothing else that could keep it from working.
    readConfig({ config: request.config, args: '' });
  },

  async gc() {
    // Nothing is kept.
  },
};

function toResultIp({ address, gateway }: StaticAddress): ResultIp {
  return { address: formatCidr(address), ...(gateway !== undefined && { gateway: formatIp(gateway) }) };
}

/** The gateway counts only where one is configured: another plugin may have filled it in. */
function isSame({ address, gateway }: StaticAddress, ip: ResultIp): boolean {
  if (compareIp(parseCidr(ip.address).ip, address.ip) !== 0) return false;
  return gateway === undefined || (ip.gateway !== undefined && compareIp(parseIp(ip.gateway), gateway) === 0);
}
