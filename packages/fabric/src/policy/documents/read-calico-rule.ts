import type { Selector } from '../../selector/selector.ts';
import { type Fields, policyError } from './fields.ts';
import { readCalicoSelector, readNamespaceSelector } from './read-label-selector.ts';
import { isPortName, MAX_PORT, readCidrs } from './read-values.ts';
import type { CalicoEntity, CalicoRule, Direction, IcmpMatch, PortMatch, RuleAction } from './resources.ts';

const actions = { Allow: 'allow', Deny: 'deny', Log: 'log', Pass: 'pass' } as const;
const protocols: Record<string, number> = {
  ICMP: 1,
  TCP: 6,
  UDP: 17,
  ICMPv6: 58,
  SCTP: 132,
  UDPLite: 136,
};
const withPorts = new Set([6, 17, 132]);

/** Reads a rule of a policy of Calico. @throws FabricError `invalid-config` */
export function readCalicoRule(rule: Fields, direction: Direction): CalicoRule {
  rule.allowOnly(
    ...['action', 'ipVersion', 'protocol', 'notProtocol', 'icmp', 'notICMP'],
    ...['source', 'destination', 'http', 'metadata'],
  );
  const protocol = readProtocol(rule, 'protocol');
  const notProtocol = readProtocol(rule, 'notProtocol');
  const ipVersion = rule.integer('ipVersion', 4, 6) as 4 | 6 | undefined;
  if ((ipVersion as number | undefined) === 5) throw rule.refusal('ipVersion', 'must be 4 or 6');
  const icmp = readIcmp(rule, 'icmp', protocol);
  const notIcmp = readIcmp(rule, 'notICMP', protocol);
  const unsupported: string[] = rule.has('http') ? [rule.pathOf('http')] : [];
  const ends = ['source', 'destination'] as const;
  const [source, destination] = ends.map((key) => {
    const entity = rule.object(key);
    if (entity === undefined) return {};
    if (entity.has('services')) {
      checkServices(entity, key, direction);
      unsupported.push(entity.pathOf('services'));
    }
    return readEntity(entity, protocol);
  });
  const versions = ipVersionOfIcmp(protocol) ?? ipVersion;
  if (ipVersion !== undefined && versions !== ipVersion) {
    throw rule.refusal('ipVersion', `does not go with protocol ${protocol}`);
  }
  return {
    path: rule.path,
    action: actions[
      rule.need('action', rule.word('action', Object.keys(actions) as (keyof typeof actions)[]))
    ] satisfies RuleAction,
    ...(ipVersion !== undefined && { ipVersion }),
    ...(protocol !== undefined && { protocol }),
    ...(notProtocol !== undefined && { notProtocol }),
    ...(icmp && { icmp }),
    ...(notIcmp && { notIcmp }),
    source: source!,
    destination: destination!,
    unsupported,
  };
}

function ipVersionOfIcmp(protocol: number | undefined): 4 | 6 | undefined {
  if (protocol === protocols.ICMP) return 4;
  return protocol === protocols.ICMPv6 ? 6 : undefined;
}

function readProtocol(rule: Fields, key: string): number | undefined {
  const value = rule.stringOrNumber(key);
  if (value === undefined) return undefined;
  if (typeof value === 'number') return rule.integer(key, 1, 255);
  const name = Object.keys(protocols).find((one) => one.toLowerCase() === value.toLowerCase());
  if (name !== undefined) return protocols[name];
  if (/^[1-9][0-9]{0,2}$/.test(value) && Number(value) <= 255) return Number(value);
  throw rule.refusal(key, `must be ${Object.keys(protocols).join(', ')} or a number from 1 to 255`);
}

function readIcmp(rule: Fields, key: string, protocol: number | undefined): IcmpMatch | undefined {
  const fields = rule.object(key);
  if (fields === undefined) return undefined;
  fields.allowOnly('type', 'code');
  if (ipVersionOfIcmp(protocol) === undefined) throw rule.refusal(key, 'needs protocol ICMP or ICMPv6');
  const [type, code] = [fields.integer('type', 0, 254), fields.integer('code', 0, 255)];
  if (code !== undefined && type === undefined) throw fields.refusal('code', 'needs a type');
  return { ...(type !== undefined && { type }), ...(code !== undefined && { code }) };
}

function checkServices(entity: Fields, key: string, direction: Direction): void {
  if ((key === 'destination') !== (direction === 'egress')) {
    throw entity.refusal('services', `not in the ${key} of an ${direction} rule`);
  }
  for (const other of [
    'nets',
    'notNets',
    'selector',
    'notSelector',
    'namespaceSelector',
    'ports',
    'notPorts',
  ]) {
    entity.allowOneOf('services', other);
  }
}

function readEntity(entity: Fields, protocol: number | undefined): CalicoEntity {
  entity.allowOnly(
    ...['nets', 'notNets', 'selector', 'notSelector', 'namespaceSelector'],
    ...['ports', 'notPorts', 'serviceAccounts', 'services'],
  );
  const part = <K extends keyof CalicoEntity>(key: K, value: CalicoEntity[K] | undefined) =>
    value === undefined ? {} : { [key]: value };
  const accounts = entity.object('serviceAccounts');
  return {
    ...part('nets', nonEmpty(readCidrs(entity, 'nets'))),
    ...part('notNets', nonEmpty(readCidrs(entity, 'notNets'))),
    ...part('selector', readCalicoSelector(entity, 'selector')),
    ...part('notSelector', readCalicoSelector(entity, 'notSelector')),
    ...part('namespaceSelector', readNamespaceSelector(entity, 'namespaceSelector')),
    ...part('ports', readPorts(entity, 'ports', protocol)),
    ...part('notPorts', readPorts(entity, 'notPorts', protocol)),
    ...part('serviceAccounts', accounts && readServiceAccounts(accounts)),
  };
}

function readServiceAccounts(fields: Fields): { names: string[]; selector?: Selector } | undefined {
  fields.allowOnly('names', 'selector');
  const selector = readCalicoSelector(fields, 'selector');
  const names = fields.strings('names') ?? [];
  if (names.length === 0 && selector === undefined) return undefined;
  return { names, ...(selector && { selector }) };
}

function nonEmpty<T>(list: T[] | undefined): T[] | undefined {
  return list?.length === 0 ? undefined : list;
}

function readPorts(entity: Fields, key: string, protocol: number | undefined): PortMatch[] | undefined {
  const ports = nonEmpty(entity.stringsAndNumbers(key));
  if (ports === undefined) return undefined;
  if (protocol === undefined || !withPorts.has(protocol)) {
    throw entity.refusal(key, 'needs protocol TCP, UDP or SCTP');
  }
  return ports.map((port, index) => {
    const match = portMatch(String(port));
    if (match !== undefined) return match;
    throw policyError(entity.place, 'must be a port from 0 to 65535, a range such as 80:90, or a name', {
      path: `${entity.pathOf(key)}[${index}]`,
      value: port,
    });
  });
}

function portMatch(text: string): PortMatch | undefined {
  const range = /^([0-9]{1,5})(?::([0-9]{1,5}))?$/.exec(text);
  if (range === null) return isPortName(text.toLowerCase()) ? { name: text } : undefined;
  const first = Number(range[1]);
  const last = Number(range[2] ?? range[1]);
  return first <= last && last <= MAX_PORT ? { first, last } : undefined;
}
