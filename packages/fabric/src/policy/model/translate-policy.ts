import { builtInTiers } from '../documents/parse-calico-policy.ts';
import type { PolicyResource, TierResource } from '../documents/resources.ts';
import type { ModelPolicy, ModelTier } from './model.ts';
import { translateAdminPolicy } from './translate-admin-policy.ts';
import { translateCalicoPolicy } from './translate-calico-policy.ts';
import { translateNetworkPolicy } from './translate-network-policy.ts';

/** A policy of any kind in the one form that the engine works with; undefined when it decides nothing about pods. */
export function translatePolicy(policy: PolicyResource): ModelPolicy | undefined {
  switch (policy.type) {
    case 'network-policy':
      return translateNetworkPolicy(policy);
    case 'admin-policy':
      return translateAdminPolicy(policy);
    case 'calico-policy':
      return translateCalicoPolicy(policy);
  }
}

/** The tiers that are always there. */
export function standardTiers(): ModelTier[] {
  return Object.entries(builtInTiers).map(([name, tier]) => ({ name, ...tier }));
}

export function translateTier({ origin, order, defaultAction }: TierResource): ModelTier {
  return { name: origin.name, order: order ?? Number.POSITIVE_INFINITY, defaultAction };
}

/** What a tier is that a policy names and nobody has described: the last one, and it denies. */
export function undescribedTier(name: string): ModelTier {
  return { name, order: Number.POSITIVE_INFINITY, defaultAction: 'deny' };
}
