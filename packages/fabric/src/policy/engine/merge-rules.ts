import { formatCidr } from '@amphipod/netlink';
import { formatSelector, type Selector } from '../../selector/selector.ts';
import type { PortMatch } from '../documents/resources.ts';
import type { EntityMatch, ModelPolicy, ModelRule } from '../model/model.ts';

/** An end with alternatives: it is enough to match one of the selectors. */
export interface MergedEntity extends Omit<EntityMatch, 'selector'> {
  selectors?: readonly Selector[];
}

/** A rule that stands for one or more rules of documents. */
export interface MergedRule extends Omit<ModelRule, 'source' | 'destination' | 'path'> {
  source: MergedEntity;
  destination: MergedEntity;
  /** The first of them: `NetworkPolicy shop/web spec.ingress[0]`. */
  origin: string;
  /** How many more. */
  more: number;
}

export interface RuleOfPolicy {
  policy: ModelPolicy;
  rule: ModelRule;
}

type Part = 'selectors' | 'nets' | 'ports';

/** In this order: policies that differ in one of these alone are the usual case. */
const passes: readonly ['source' | 'destination', Part][] = [
  ['source', 'selectors'],
  ['destination', 'selectors'],
  ['source', 'nets'],
  ['destination', 'nets'],
  ['destination', 'ports'],
];

/**
 * Makes fewer rules that mean the same: among neighbours with the same action order does not matter, so that those which
 * differ in one list of alternatives alone become one rule with a longer list.
 */
export function mergeRules(rules: readonly RuleOfPolicy[]): MergedRule[] {
  const runs: MergedRule[][] = [];
  let previous: MergedRule | undefined;
  for (const one of rules) {
    const rule = single(one);
    if (previous !== undefined && previous.action === rule.action && rule.action !== 'log')
      runs.at(-1)!.push(rule);
    else runs.push([rule]);
    previous = rule;
  }
  return runs.flatMap((run) => passes.reduce(mergeBy, run));
}

function single({ policy, rule }: RuleOfPolicy): MergedRule {
  const { path, source, destination, ...rest } = rule;
  const { kind, namespace, name } = policy.origin;
  return {
    ...rest,
    source: alternatives(source),
    destination: alternatives(destination),
    origin: `${kind} ${namespace === undefined ? '' : `${namespace}/`}${name} ${path}`,
    more: 0,
  };
}

function alternatives({ selector, ...rest }: EntityMatch): MergedEntity {
  return selector === undefined ? rest : { ...rest, selectors: [selector] };
}

function mergeBy(run: MergedRule[], [end, part]: (typeof passes)[number]): MergedRule[] {
  if (run.length === 1) return run;
  const groups = Map.groupBy(run, (rule) => ruleText(rule, { end, part }));
  return [...groups.values()].map((group) => {
    const [first] = group;
    if (group.length === 1 || first![end][part] === undefined) {
      return { ...first!, more: group.reduce((sum, { more }) => sum + more + 1, -1) };
    }
    const lists = group.flatMap((rule) => rule[end][part] as readonly unknown[]);
    return {
      ...first!,
      [end]: { ...first![end], [part]: withoutRepeats(part, lists) },
      more: group.reduce((sum, { more }) => sum + more + 1, -1),
    };
  });
}

function withoutRepeats(part: Part, list: readonly unknown[]): unknown[] {
  return [...new Map(list.map((one) => [partText(part, [one]), one])).values()];
}

/** Equal for rules that mean the same, up to the part that is left out; that must be there in both or in none. */
function ruleText(rule: MergedRule, omitted: { end: 'source' | 'destination'; part: Part }): string {
  const { ipVersion, protocol, notProtocol, icmp, notIcmp } = rule;
  const ends = (['source', 'destination'] as const).map((end) => {
    const entity = rule[end];
    const { selectors, notSelector, nets, notNets, ports, notPorts } = entity;
    const text = (part: Part) => {
      if (omitted.end === end && omitted.part === part) return entity[part] === undefined ? 'none' : 'some';
      return entity[part] === undefined ? 'none' : partText(part, entity[part]);
    };
    return [
      selectors && text('selectors'),
      notSelector && formatSelector(notSelector),
      nets && text('nets'),
      notNets?.map(formatCidr),
      ports && text('ports'),
      notPorts?.map(portText),
    ];
  });
  return JSON.stringify([ipVersion, protocol, notProtocol, icmp, notIcmp, ends]);
}

function partText(part: Part, list: readonly unknown[]): string {
  switch (part) {
    case 'selectors':
      return (list as Selector[]).map(formatSelector).toSorted().join('\n');
    case 'nets':
      return (list as NonNullable<EntityMatch['nets']>)
        .map(({ cidr, except }) => [formatCidr(cidr), ...except.map(formatCidr).toSorted()].join(' '))
        .toSorted()
        .join('\n');
    case 'ports':
      return (list as PortMatch[]).map(portText).toSorted().join('\n');
  }
}

function portText(port: PortMatch): string {
  return 'name' in port ? port.name : `${port.first}:${port.last}`;
}
