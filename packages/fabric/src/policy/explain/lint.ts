import { formatSelector, matchesSelector, type Selector } from '../../selector/selector.ts';
import { type Direction, describeResource, type ResourceOrigin } from '../documents/resources.ts';
import type { EntityMatch, ModelPolicy, ModelRule } from '../model/model.ts';
import type { PolicyWorld } from '../model/policy-world.ts';

/** Something that is valid and probably not meant. */
export interface Finding {
  file: string;
  document: number;
  /** `NetworkPolicy shop/web` */
  resource: string;
  /** `spec.ingress[0]`; empty for the whole policy. */
  path: string;
  message: string;
}

/**
 * Looks for rules that can never match, selectors that match nothing, allow-alls and what is not enforced. Selectors are
 * compared with the pods and network sets of the world.
 */
export function lint(world: PolicyWorld): Finding[] {
  const findings: Finding[] = [...unenforced(world)];
  for (const policy of world.policies) {
    const report = finder(policy.origin, findings);
    if (!world.hasTier(policy.tier)) {
      report(
        'spec.tier',
        `no document describes the tier ${JSON.stringify(policy.tier)}: it comes last and denies`,
      );
    }
    if (!matchesAny(world, policy.subject, true)) {
      report('', `applies to no pod: none matches ${readable(policy.subject)}`);
    }
    for (const direction of ['ingress', 'egress'] as const) lintRules(world, policy, { direction, report });
  }
  return findings;
}

type Report = (path: string, message: string) => void;

function finder(origin: ResourceOrigin, findings: Finding[]): Report {
  const { file, document } = origin;
  const resource = describeResource(origin);
  return (path, message) => {
    // One rule of a document may be several of the model.
    if (findings.some((one) => one.resource === resource && one.path === path && one.message === message))
      return;
    findings.push({ file, document, resource, path, message });
  };
}

function lintRules(
  world: PolicyWorld,
  policy: ModelPolicy,
  { direction, report }: { direction: Direction; report: Report },
): void {
  let end: ModelRule | undefined;
  for (const rule of policy.rules[direction] ?? []) {
    if (end !== undefined && end.path !== rule.path) {
      report(rule.path, `never matches: ${end.path} before it already decides about everything`);
    }
    for (const entity of [rule.source, rule.destination]) {
      if (entity.selector !== undefined && !matchesAny(world, entity.selector, false)) {
        report(rule.path, `matches nothing now: no pod or network set matches ${readable(entity.selector)}`);
      }
    }
    if (!isEverything(rule) || rule.action === 'log') continue;
    if (rule.action === 'allow')
      report(rule.path, `allows ${direction} ${fromOrTo(direction)} everybody on all ports`);
    end ??= rule;
  }
}

function fromOrTo(direction: Direction): string {
  return direction === 'ingress' ? 'from' : 'to';
}

function isEverything({ ipVersion, protocol, notProtocol, source, destination }: ModelRule): boolean {
  const isOpen = (entity: EntityMatch) => Object.keys(entity).length === 0;
  return (
    ipVersion === undefined &&
    protocol === undefined &&
    notProtocol === undefined &&
    isOpen(source) &&
    isOpen(destination)
  );
}

/** Policies that are read and decide nothing about pods, and rules that are not understood. */
function unenforced(world: PolicyWorld): Finding[] {
  const findings: Finding[] = [];
  for (const resource of world.resources) {
    if (resource.type === 'calico-policy') {
      const report = finder(resource.origin, findings);
      if (resource.isForHosts) report('', 'not enforced: it is for host endpoints, which are not supported');
      for (const rule of [...resource.ingress, ...resource.egress]) {
        for (const path of rule.unsupported) report(path, `not supported: ${failsClosed(rule.action)}`);
      }
    }
    if (resource.type === 'admin-policy') {
      const report = finder(resource.origin, findings);
      for (const rule of [...resource.ingress, ...resource.egress]) {
        for (const part of [...rule.peers, ...(rule.ports ?? [])]) {
          if ('unsupported' in part) report(part.unsupported, `not supported: ${failsClosed(rule.action)}`);
        }
      }
    }
  }
  return findings;
}

function failsClosed(action: string): string {
  return action === 'allow' ? 'it allows nothing' : 'everything that it might match is denied';
}

function matchesAny(world: PolicyWorld, selector: Selector, isSubject: boolean): boolean {
  for (const { labels, origin } of world.items) {
    if (isSubject && origin.kind !== 'Pod') continue;
    if (matchesSelector(selector, labels)) return true;
  }
  return false;
}

function readable(selector: Selector): string {
  const text = formatSelector(selector).replace(/\(?@kind == 'pod' && /, '(');
  return text.replaceAll('ns:', 'namespace label ').replaceAll('@', '');
}
