import { allOf, mapKeys, type Selector } from '../../selector/selector.ts';
import {
  type CalicoEntity,
  type CalicoPolicyResource,
  type CalicoRule,
  resourceKey,
} from '../documents/resources.ts';
import { inNamespace, inSomeNamespace, isPod, SERVICE_ACCOUNT } from './item-labels.ts';
import type { EntityMatch, ModelPolicy, ModelRule } from './model.ts';

/** Undefined for a policy that decides nothing about pods: a staged one, one for host endpoints alone. */
export function translateCalicoPolicy(policy: CalicoPolicyResource): ModelPolicy | undefined {
  const { origin, tier, order, directions } = policy;
  if (policy.isStaged || policy.isForHosts) return undefined;
  const rules = Object.fromEntries(
    directions.map((direction) => [
      direction,
      policy[direction].flatMap((rule) => translateRule(rule, origin.namespace)),
    ]),
  );
  return {
    key: resourceKey(origin),
    origin,
    tier,
    order: order ?? Number.POSITIVE_INFINITY,
    subject: subjectOf(policy),
    rules,
  };
}

function subjectOf({
  origin,
  selector,
  namespaceSelector,
  serviceAccountSelector,
}: CalicoPolicyResource): Selector {
  return allOf(
    isPod,
    origin.namespace === undefined ? namespaces(namespaceSelector) : inNamespace(origin.namespace),
    selector,
    serviceAccountSelector && ofServiceAccount(serviceAccountSelector),
  );
}

function namespaces(selector: Selector | 'global' | undefined): Selector | undefined {
  if (selector === 'global') return { is: 'not', of: inSomeNamespace };
  return (
    selector &&
    allOf(
      inSomeNamespace,
      mapKeys(selector, (key) => `ns:${key}`),
    )
  );
}

function ofServiceAccount(selector: Selector): Selector {
  return allOf(
    { is: 'has', key: SERVICE_ACCOUNT },
    mapKeys(selector, (key) => `sa:${key}`),
  );
}

function translateRule(rule: CalicoRule, namespace: string | undefined): ModelRule[] {
  const { path, ipVersion, protocol, notProtocol, icmp, notIcmp, unsupported } = rule;
  // What is not understood must let nothing through.
  if (unsupported.length > 0 && rule.action === 'allow') return [];
  return [
    {
      action: unsupported.length > 0 && rule.action === 'pass' ? 'deny' : rule.action,
      path,
      ...(ipVersion !== undefined && { ipVersion }),
      ...(protocol !== undefined && { protocol }),
      ...(notProtocol !== undefined && { notProtocol }),
      ...(icmp && { icmp }),
      ...(notIcmp && { notIcmp }),
      source: translateEntity(rule.source, namespace),
      destination: translateEntity(rule.destination, namespace),
    },
  ];
}

function translateEntity(entity: CalicoEntity, namespace: string | undefined): EntityMatch {
  const { nets, notNets, notSelector, ports, notPorts } = entity;
  const selector = endpointsOf(entity, namespace);
  // Not to be in any network at all cannot be meant; Calico passes over it too.
  const excluded = notNets?.filter(({ prefix }) => prefix > 0) ?? [];
  return {
    ...(selector && { selector }),
    ...(notSelector && { notSelector }),
    ...(nets && { nets: nets.map((cidr) => ({ cidr, except: [] })) }),
    ...(excluded.length > 0 && { notNets: excluded }),
    ...(ports && { ports }),
    ...(notPorts && { notPorts }),
  };
}

/** A policy of a namespace means endpoints of that namespace, as soon as it names any, unless it selects namespaces. */
function endpointsOf(entity: CalicoEntity, namespace: string | undefined): Selector | undefined {
  const { selector, notSelector, namespaceSelector, serviceAccounts } = entity;
  const namesAny = selector ?? notSelector ?? namespaceSelector ?? serviceAccounts;
  if (namesAny === undefined) return undefined;
  const own = namespace === undefined ? undefined : inNamespace(namespace);
  const scope = namespaceSelector === undefined ? own : namespaces(namespaceSelector);
  if (scope === undefined && selector === undefined && serviceAccounts === undefined) return undefined;
  const { names = [], selector: accountSelector } = serviceAccounts ?? {};
  return allOf(
    scope,
    selector,
    names.length > 0 ? { is: 'in', key: SERVICE_ACCOUNT, values: names } : undefined,
    accountSelector && ofServiceAccount(accountSelector),
  );
}
