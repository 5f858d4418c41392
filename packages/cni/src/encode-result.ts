import { CniError } from './errors.ts';
import type { JsonObject } from './json.ts';
import type { Result, ResultIp, ResultRoute } from './result.ts';
import { defaultVersion } from './versions.ts';

/**
 * A result as plugins of this version write it; what the version has no word for is left out.
 * @throws CniError incompatible-version; decoding-failure for 0.1.0 and 0.2.0 when there are interfaces or routes and no address
 */
export function encodeResult(result: Result, version: string): JsonObject {
  switch (version === '' ? defaultVersion : version) {
    case '0.1.0':
    case '0.2.0':
      return encodeOld(result, version === '' ? defaultVersion : version);
    case '0.3.0':
    case '0.3.1':
    case '0.4.0':
      return encodeNew(result, version, { withFamily: true, withExtras: false });
    case '1.0.0':
      return encodeNew(result, version, { withFamily: false, withExtras: false });
    case '1.1.0':
      return encodeNew(result, version, { withFamily: false, withExtras: true });
    default:
      throw new CniError('incompatible-version', `unsupported CNI result version ${JSON.stringify(version)}`);
  }
}

interface Shape {
  /** `ips[].version`. */
  withFamily: boolean;
  /** What 1.1.0 added. */
  withExtras: boolean;
}

function encodeNew(result: Result, cniVersion: string, { withFamily, withExtras }: Shape): JsonObject {
  const { interfaces = [], ips = [], routes = [] } = result;
  return {
    cniVersion,
    ...(interfaces.length > 0 && {
      interfaces: interfaces.map(({ name, mac, mtu, sandbox, socketPath, pciID }) => ({
        name,
        ...(mac !== undefined && { mac }),
        ...(withExtras && mtu !== undefined && { mtu }),
        ...(sandbox !== undefined && { sandbox }),
        ...(withExtras && socketPath !== undefined && { socketPath }),
        ...(withExtras && pciID !== undefined && { pciID }),
      })),
    }),
    ...(ips.length > 0 && {
      ips: ips.map((ip) => ({
        ...(withFamily && { version: familyOf(ip.address) }),
        ...(ip.interface !== undefined && { interface: ip.interface }),
        address: ip.address,
        ...(ip.gateway !== undefined && { gateway: ip.gateway }),
      })),
    }),
    ...(routes.length > 0 && { routes: routes.map((route) => (withExtras ? route : shortRoute(route))) }),
    ...encodeDns(result),
  };
}

function encodeOld(result: Result, cniVersion: string): JsonObject {
  const { interfaces = [], ips = [], routes = [] } = result;
  const part = (family: '4' | '6') => {
    const ip = ips.find(({ address }) => familyOf(address) === family);
    return ip === undefined
      ? undefined
      : oldPart(
          ip,
          routes.filter(({ dst }) => familyOf(dst) === family),
        );
  };
  const ip4 = part('4');
  const ip6 = part('6');
  // A plugin of that version may answer with nothing at all, which is to stay as it is.
  const isEmpty = interfaces.length + ips.length + routes.length === 0;
  if (ip4 === undefined && ip6 === undefined && !isEmpty) {
    throw new CniError('decoding-failure', 'cannot convert: no valid IP addresses');
  }
  return {
    cniVersion,
    ...(ip4 !== undefined && { ip4 }),
    ...(ip6 !== undefined && { ip6 }),
    ...encodeDns(result),
  };
}

function oldPart({ address, gateway }: ResultIp, routes: readonly ResultRoute[]): JsonObject {
  return {
    ip: address,
    ...(gateway !== undefined && { gateway }),
    ...(routes.length > 0 && { routes: routes.map(shortRoute) }),
  };
}

function shortRoute({ dst, gw }: ResultRoute): ResultRoute {
  return gw === undefined ? { dst } : { dst, gw };
}

function encodeDns({ dns }: Result): JsonObject {
  return dns === undefined || Object.keys(dns).length === 0 ? {} : { dns };
}

function familyOf(address: string): '4' | '6' {
  return address.includes(':') ? '6' : '4';
}
