import { formatCidr } from '@amphipod/netlink';
import type { BirdCondition, BirdStatement } from './bird-config.ts';
import { complementOf } from './local-pref.ts';

/** Writes a statement of BIRD's filter language, on one line. */
export function renderStatement(statement: BirdStatement): string {
  switch (statement.do) {
    case 'accept':
    case 'reject':
      return `${statement.do};`;
    case 'if':
      return `if (${renderCondition(statement.condition)}) then { ${statement.body.map(renderStatement).join(' ')} }`;
    case 'call':
      return `'${statement.name}'(${statement.sameAs ?? ''});`;
    case 'set-local-pref':
      return `bgp_local_pref = ${statement.value};`;
    case 'set-metric':
      return `krt_metric = ${statement.value};`;
    case 'set-preference':
      return `preference = ${statement.value};`;
    case 'metric-from-local-pref':
      return `krt_metric = ${complementOf('bgp_local_pref')};`;
    case 'local-pref-from-metric':
      return `bgp_local_pref = ${complementOf('krt_metric')};`;
    case 'add-community':
      return `${listOf(statement.community)}.add(${tuple(statement.community)});`;
    case 'prepend-as':
      return `bgp_path.prepend(${statement.asNumber});`;
  }
}

/** Writes a condition. What a route does not have is compared with nothing: BIRD would reject the route. */
function renderCondition(condition: BirdCondition): string {
  switch (condition.is) {
    case 'always':
      return 'true';
    case 'never':
      return 'false';
    case 'same-as':
      return 'same_as';
    case 'all':
      return `(${condition.of.map(renderCondition).join(' && ')})`;
    case 'not':
      return `!(${renderCondition(condition.of)})`;
    case 'network':
      return `net = ${formatCidr(condition.network)}`;
    case 'within':
      return `net ~ ${withinPattern(condition)}`;
    case 'source':
      return `source = RTS_${condition.source.toUpperCase()}`;
    case 'unicast':
      return 'dest = RTD_UNICAST';
    case 'interface':
      return `(defined(ifname) && ifname ~ "${condition.pattern}")`;
    case 'community':
      return `${tuple(condition.community)} ~ ${listOf(condition.community)}`;
    case 'as-path-prefix':
      return `bgp_path ~ [= ${condition.path.join(' ')} * =]`;
    case 'local-pref-above':
      return `(defined(bgp_local_pref) && bgp_local_pref > ${condition.value})`;
    case 'local-pref':
      return `(defined(bgp_local_pref) && bgp_local_pref = ${condition.value})`;
    case 'kernel-protocol':
      return `(defined(krt_source) && krt_source = ${condition.value})`;
    case 'metric':
      return '(defined(krt_metric) && krt_metric > 0)';
    case 'metric-below':
      return `(defined(krt_metric) && krt_metric < ${condition.value})`;
  }
}

function withinPattern({ network, min, max }: Extract<BirdCondition, { is: 'within' }>): string {
  const text = formatCidr(network);
  if (min === undefined && max === undefined) return text;
  return `[ ${text}{${min ?? network.prefix},${max ?? (network.ip.family === 4 ? 32 : 128)}} ]`;
}

/** `65000:100` as `(65000, 100)` */
function tuple(community: string): string {
  return `(${community.split(':').join(', ')})`;
}

function listOf(community: string): string {
  return community.split(':').length === 2 ? 'bgp_community' : 'bgp_large_community';
}
