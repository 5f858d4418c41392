import { isJsonObject, type JsonObject } from '@amphipod/cni';
import { isMac, tryParseCidr, tryParseIp } from '@amphipod/netlink';
import { CriError } from '../../errors.ts';

/** The annotation by which a pod names further networks (Kubernetes Network Custom Resource Definition De-facto Standard, 4). */
export const NETWORKS_ANNOTATION = 'k8s.v1.cni.cncf.io/networks';

/** One further network that a pod asks for. */
export interface NetworkSelection {
  namespace: string;
  name: string;
  /** In the pod. */
  ifName: string;
  /** Addresses, with prefix length or without. */
  ips?: string[];
  mac?: string;
  /** Gateways: the default routes of their families lead through this interface, and no other's. */
  defaultRoute?: string[];
  /** For `args.cni` of every plugin. */
  cniArgs?: JsonObject;
  deviceId?: string;
  /** As in {@link Attachment.capabilityArgs}. */
  portMappings?: unknown[];
  bandwidth?: JsonObject;
}

/** `namespace` and `taken` interface names are those of the pod. */
export interface SelectionContext {
  namespace: string;
  taken: readonly string[];
}

const DNS_LABEL = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/;

/**
 * Reads `NAME, NAMESPACE/NAME@IFNAME, …`, or a JSON list of objects. Interfaces without a name are called net1, net2 …
 * @throws CriError invalid-argument that says which part is wrong
 */
export function parseSelections(text: string, { namespace, taken }: SelectionContext): NetworkSelection[] {
  const trimmed = text.trim();
  if (trimmed === '') return [];
  const wanted = /^[[{"]/.test(trimmed)
    ? readJson(trimmed).map((element, i) => readElement(element, `[${i}]`, namespace))
    : trimmed.split(',').map((item) => readShort(item.trim(), namespace));
  return nameInterfaces(wanted, taken);
}

type Unnamed = Omit<NetworkSelection, 'ifName'> & { ifName: string | undefined };

function fail(where: string, why: string): never {
  throw new CriError('invalid-argument', `read annotation "${NETWORKS_ANNOTATION}": ${where}: ${why}`);
}

function readShort(item: string, podNamespace: string): Unnamed {
  const [, namespace = podNamespace, name = '', ifName] =
    /^(?:([^/@]+)\/)?([^/@]+)(?:@([^/@]+))?$/.exec(item) ?? [];
  const where = JSON.stringify(item);
  if (name === '') fail(where, 'want NAME, NAMESPACE/NAME or NAMESPACE/NAME@INTERFACE');
  checkNames({ namespace, name, ifName }, where);
  return { namespace, name, ifName };
}

function checkNames(
  names: { namespace: string; name: string; ifName: string | undefined },
  where: string,
): void {
  for (const key of ['namespace', 'name'] as const) {
    if (!DNS_LABEL.test(names[key]))
      fail(where, `${key} ${JSON.stringify(names[key])} is no name of Kubernetes`);
  }
  const { ifName } = names;
  if (ifName === undefined) return;
  const isName =
    Buffer.byteLength(ifName) <= 15 && !/[\s/:]/.test(ifName) && ifName !== '.' && ifName !== '..';
  if (!isName || ifName === '') fail(where, `${JSON.stringify(ifName)} is no name of an interface`);
}

function readJson(text: string): unknown[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    return fail('JSON', (cause as Error).message);
  }
  return Array.isArray(value) ? value : fail('JSON', 'want a list of objects with a "name"');
}

function readElement(element: unknown, at: string, podNamespace: string): Unnamed {
  if (!isJsonObject(element)) return fail(at, 'want an object with a "name"');
  const text = (key: string) => {
    const value = element[key];
    if (value === undefined || value === null || value === '') return undefined;
    return typeof value === 'string' ? value : fail(`${at}.${key}`, 'want a string');
  };
  const object = (key: string) => {
    const value = element[key];
    if (value === undefined || value === null) return undefined;
    return isJsonObject(value) ? value : fail(`${at}.${key}`, 'want an object');
  };
  const list = (key: string) => {
    const value = element[key];
    if (value === undefined || value === null) return undefined;
    return Array.isArray(value) ? (value as unknown[]) : fail(`${at}.${key}`, 'want a list');
  };
  const addresses = (key: string, isRight: (text: string) => boolean, wanted: string) =>
    list(key)?.map((value, i) =>
      typeof value === 'string' && isRight(value) ? value : fail(`${at}.${key}[${i}]`, `want ${wanted}`),
    );
  const names = {
    namespace: text('namespace') ?? podNamespace,
    name: text('name') ?? fail(at, '"name" is missing'),
  };
  const ifName = text('interface') ?? text('interfaceRequest');
  checkNames({ ...names, ifName }, at);
  const mac = text('mac');
  if (mac !== undefined && !isMac(mac)) fail(`${at}.mac`, `${JSON.stringify(mac)} is no hardware address`);
  const isAddress = (value: string) => (tryParseCidr(value) ?? tryParseIp(value)) !== undefined;
  return withoutUndefined({
    ...names,
    ifName,
    ips: addresses('ips', isAddress, 'an address such as "192.0.2.7/24"'),
    mac: mac?.toLowerCase(),
    defaultRoute: addresses(
      'default-route',
      (value) => tryParseIp(value) !== undefined,
      'the address of a gateway',
    ),
    cniArgs: object('cni-args'),
    deviceId: text('deviceID'),
    portMappings: list('portMappings'),
    bandwidth: object('bandwidth'),
  }) as Unnamed;
}

function withoutUndefined(object: Record<string, unknown>): object {
  return Object.fromEntries(
    Object.entries(object).filter(([key, value]) => value !== undefined || key === 'ifName'),
  );
}

function nameInterfaces(wanted: Unnamed[], taken: readonly string[]): NetworkSelection[] {
  const names = new Set(taken);
  for (const { ifName, name } of wanted) {
    if (ifName === undefined) continue;
    if (names.has(ifName)) fail(JSON.stringify(name), `the pod has an interface "${ifName}" already`);
    names.add(ifName);
  }
  let number = 0;
  return wanted.map((selection) => {
    let { ifName } = selection;
    while (ifName === undefined) {
      number++;
      if (!names.has(`net${number}`)) ifName = `net${number}`;
    }
    names.add(ifName);
    return { ...selection, ifName };
  });
}
