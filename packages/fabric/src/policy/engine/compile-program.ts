import { hash } from 'node:crypto';
import { type NftExpression, nft } from '@amphipod/netlink';
import type { Direction } from '../documents/resources.ts';
import type { ModelTier, TierPolicies } from '../model/model.ts';
import { type CompileContext, compileMatches } from './compile-rule.ts';
import { type MergedRule, mergeRules } from './merge-rules.ts';

const COMMENT_BYTES = 127;
const LOG_PREFIX_BYTES = 100;

export interface CompiledRule {
  expressions: NftExpression[];
  comment: string;
}

/** The name follows from the rules: a chain never changes, there is another one instead. */
export interface CompiledChain {
  chain: string;
  rules: readonly CompiledRule[];
}

/**
 * The chains that decide about packets of a pod in one direction, one for each tier; the last of the list is where to begin.
 * They return for what is allowed and drop what is not.
 */
export function compileProgram(
  tiers: readonly TierPolicies[],
  direction: Direction,
  context: CompileContext,
): CompiledChain[] {
  const chains: CompiledChain[] = [];
  for (const { tier, policies } of tiers.toReversed()) {
    const next = chains.at(-1)?.chain;
    const rules = policies.flatMap((policy) => policy.rules[direction]!.map((rule) => ({ policy, rule })));
    const compiled = mergeRules(rules).flatMap((rule) => compileRule(rule, { ...context, next }));
    compiled.push({ expressions: endOf(tier, next), comment: `end of tier ${tier.name}` });
    const digest = hash('sha256', JSON.stringify(compiled)).slice(0, 16);
    chains.push({ chain: `${direction}${context.family}-${digest}`, rules: compiled });
  }
  return chains;
}

interface ChainContext extends CompileContext {
  /** The chain of the next tier, if there is one. */
  next: string | undefined;
}

function endOf({ defaultAction }: ModelTier, next: string | undefined): NftExpression[] {
  return defaultAction === 'deny' ? dropping() : passing(next);
}

function dropping(): NftExpression[] {
  return [nft.counter(), nft.verdict('drop')];
}

/** Pods for which no tier decides may do everything. */
function passing(next: string | undefined): NftExpression[] {
  return [next === undefined ? nft.verdict('return') : nft.goto(next)];
}

function compileRule(rule: MergedRule, context: ChainContext): CompiledRule[] {
  const comment = cut(rule.more === 0 ? rule.origin : `${rule.origin} and ${rule.more} more`, COMMENT_BYTES);
  return compileMatches(rule, context).map((matches) => ({
    expressions: [...matches, ...action(rule, context)],
    comment,
  }));
}

function action({ action, origin }: MergedRule, { next }: ChainContext): NftExpression[] {
  switch (action) {
    case 'allow':
      return [nft.verdict('return')];
    case 'deny':
      return dropping();
    case 'pass':
      return passing(next);
    case 'log':
      return [nft.log({ prefix: `${cut(origin, LOG_PREFIX_BYTES)}: `, level: 'info' })];
  }
}

/** At most so many bytes, at the end of a character. */
function cut(text: string, bytes: number): string {
  if (Buffer.byteLength(text) <= bytes) return text;
  let short = text;
  while (Buffer.byteLength(short) > bytes - 3) short = short.slice(0, -1);
  return `${short}…`;
}
