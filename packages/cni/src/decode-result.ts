import { CniError } from './errors.ts';
import { familyOfIp, isCidr } from './ip-text.ts';
import { describeJson, isJsonObject, type JsonObject } from './json.ts';
import type { Dns, Result, ResultInterface, ResultIp, ResultRoute } from './result.ts';
import { defaultVersion, specVersions } from './versions.ts';

/**
 * Reads a result of any version. A result without `cniVersion` is taken for `fallbackVersion`, that of the configuration.
 * @throws CniError decoding-failure, incompatible-version
 */
export function decodeResult(value: unknown, fallbackVersion: string): Result {
  if (value === null) return {};
  const object = expectObject(value, 'result');
  const version = optionalString(object, 'cniVersion', 'result') || fallbackVersion || defaultVersion;
  if (!(specVersions as readonly string[]).includes(version)) {
    throw new CniError('incompatible-version', `unsupported CNI result version ${JSON.stringify(version)}`);
  }
  const result = version === '0.1.0' || version === '0.2.0' ? decodeOld(object) : decodeNew(object);
  const dns = decodeDns(object.dns);
  if (dns !== undefined) result.dns = dns;
  return result;
}

function decodeNew(object: JsonObject): Result {
  const result: Result = {};
  const interfaces = optionalArray(object, 'interfaces', 'result');
  const ips = optionalArray(object, 'ips', 'result');
  const routes = optionalArray(object, 'routes', 'result');
  if (interfaces !== undefined) result.interfaces = interfaces.map(decodeInterface);
  if (ips !== undefined) result.ips = ips.map(decodeIp);
  if (routes !== undefined) result.routes = routes.map((route, i) => decodeRoute(route, `routes[${i}]`));
  return result;
}

function decodeInterface(value: unknown, index: number): ResultInterface {
  const where = `interfaces[${index}]`;
  const object = expectObject(value, where);
  const decoded: ResultInterface = { name: optionalString(object, 'name', where) ?? '' };
  for (const key of ['mac', 'sandbox', 'socketPath', 'pciID'] as const) {
    const text = optionalString(object, key, where);
    if (text !== undefined && text !== '') decoded[key] = text;
  }
  const mtu = optionalInteger(object, 'mtu', where);
  if (mtu !== undefined && mtu !== 0) decoded.mtu = mtu;
  return decoded;
}

function decodeIp(value: unknown, index: number): ResultIp {
  const where = `ips[${index}]`;
  const object = expectObject(value, where);
  const decoded: ResultIp = { address: requiredCidr(object, 'address', where) };
  const gateway = optionalIp(object, 'gateway', where);
  const interfaceIndex = optionalInteger(object, 'interface', where);
  if (gateway !== undefined) decoded.gateway = gateway;
  if (interfaceIndex !== undefined) decoded.interface = interfaceIndex;
  return decoded;
}

const routeNumbers = ['mtu', 'advmss', 'priority', 'table', 'scope'] as const;

function decodeRoute(value: unknown, where: string): ResultRoute {
  const object = expectObject(value, where);
  const decoded: ResultRoute = { dst: requiredCidr(object, 'dst', where) };
  const gw = optionalIp(object, 'gw', where);
  if (gw !== undefined) decoded.gw = gw;
  for (const key of routeNumbers) {
    const number = optionalInteger(object, key, where);
    // table and scope are pointers in the reference: 0 is a value there, elsewhere it is "not set".
    if (number !== undefined && (number !== 0 || key === 'table' || key === 'scope')) decoded[key] = number;
  }
  return decoded;
}

/** 0.1.0 and 0.2.0: one address of each family, routes below it. */
function decodeOld(object: JsonObject): Result {
  const ips: ResultIp[] = [];
  const routes: ResultRoute[] = [];
  for (const key of ['ip4', 'ip6']) {
    if (object[key] === undefined || object[key] === null) continue;
    const part = expectObject(object[key], key);
    const ip: ResultIp = { address: requiredCidr(part, 'ip', key) };
    const gateway = optionalIp(part, 'gateway', key);
    if (gateway !== undefined) ip.gateway = gateway;
    ips.push(ip);
    for (const [i, route] of (optionalArray(part, 'routes', key) ?? []).entries()) {
      routes.push(decodeRoute(route, `${key}.routes[${i}]`));
    }
  }
  return { ...(ips.length > 0 && { ips }), ...(routes.length > 0 && { routes }) };
}

/** @throws CniError decoding-failure */
export function decodeDns(value: unknown, where = 'dns'): Dns | undefined {
  if (value === undefined || value === null) return undefined;
  const object = expectObject(value, where);
  const dns: Dns = {};
  for (const key of ['nameservers', 'search', 'options'] as const) {
    const list = optionalArray(object, key, where);
    if (list === undefined || list.length === 0) continue;
    dns[key] = list.map((item, i) => expectString(item, `${where}.${key}[${i}]`));
  }
  const domain = optionalString(object, 'domain', where);
  if (domain !== undefined && domain !== '') dns.domain = domain;
  return Object.keys(dns).length > 0 ? dns : undefined;
}

function wrongKind(where: string, value: unknown, wanted: string): CniError {
  return new CniError('decoding-failure', `decode ${where}: got ${describeJson(value)}, want ${wanted}`);
}

function expectObject(value: unknown, where: string): JsonObject {
  if (!isJsonObject(value)) throw wrongKind(where, value, 'an object');
  return value;
}

function expectString(value: unknown, where: string): string {
  if (typeof value !== 'string') throw wrongKind(where, value, 'a string');
  return value;
}

/** An address with the length of its prefix, as the reference's types take it. */
function requiredCidr(object: JsonObject, key: string, where: string): string {
  const text = expectString(object[key], `${where}.${key}`);
  if (!isCidr(text)) throw wrongKind(`${where}.${key}`, text, 'an address such as "10.1.2.3/24"');
  return text;
}

/** Undefined when empty, too. */
function optionalIp(object: JsonObject, key: string, where: string): string | undefined {
  const text = optionalString(object, key, where);
  if (text === undefined || text === '') return undefined;
  if (familyOfIp(text) === undefined) throw wrongKind(`${where}.${key}`, text, 'an IP address');
  return text;
}

function optionalString(object: JsonObject, key: string, where: string): string | undefined {
  const value = object[key];
  return value === undefined || value === null ? undefined : expectString(value, `${where}.${key}`);
}

function optionalInteger(object: JsonObject, key: string, where: string): number | undefined {
  const value = object[key];
  if (value === undefined || value === null) return undefined;
  if (!Number.isSafeInteger(value)) throw wrongKind(`${where}.${key}`, value, 'an integer');
  return value as number;
}

function optionalArray(object: JsonObject, key: string, where: string): unknown[] | undefined {
  const value = object[key];
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value)) throw wrongKind(`${where}.${key}`, value, 'an array');
  return value;
}
