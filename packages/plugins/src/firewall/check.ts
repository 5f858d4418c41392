import type { PluginRequest } from '@amphipod/cni';
import { checkFailure } from '../lib/check-interface.ts';
import type { PluginHost } from '../lib/host.ts';
import { requirePrevResult } from '../lib/prev-result.ts';
import { chooseBackend } from './backend.ts';
import { readConfig } from './config.ts';
import { isZoneSource } from './firewalld.ts';
import { missingIptablesRules } from './iptables-rules.ts';
import { missingNftRules } from './nft-rules.ts';
import {
  addressesOf,
  type FamilyRules,
  type FirewallRule,
  hostCidr,
  isolationOnly,
  rulesFor,
} from './rules.ts';

/** Looks whether the pod's rules and those that all pods share are there. */
export async function check(request: PluginRequest, host: PluginHost): Promise<void> {
  const config = readConfig(request);
  const prevResult = requirePrevResult(request, 'missing prevResult from earlier plugin');
  const backend = await chooseBackend(config);
  const families = rulesFor(prevResult, config);
  if (backend === 'firewalld') {
    for (const ip of addressesOf(prevResult)) {
      const address = hostCidr(ip);
      if (!(await isZoneSource(config.zone, address))) {
        throw checkFailure(`failed to find the address ${address} in ${config.zone} zone`);
      }
    }
    if (config.ingressPolicy === 'open') return;
    for (const rules of families) refuseMissing(rules, await missingIptablesRules(isolationOnly(rules)));
    return;
  }
  for (const rules of families) {
    const missing =
      backend === 'iptables' ? await missingIptablesRules(rules) : missingNftRules(host.nft, rules);
    refuseMissing(rules, missing);
  }
}

function refuseMissing({ family }: FamilyRules, [missing]: readonly FirewallRule[]): void {
  if (missing === undefined) return;
  const table = `${family === 4 ? 'ip' : 'ip6'} filter`;
  throw checkFailure(`expected ${missing.chain} rule [${missing.text}] not found in table ${table}`);
}
