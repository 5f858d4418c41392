import type { PluginRequest, Result } from '@amphipod/cni';
import type { UndoStack } from '@amphipod/linux';
import type { PluginHost } from '../lib/host.ts';
import { ownerTag } from '../lib/owner.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { requirePrevResult } from '../lib/prev-result.ts';
import { withUndo } from '../lib/with-undo.ts';
import { claimAddresses, findAddresses, forgetAddresses } from './address-owners.ts';
import { chooseBackend } from './backend.ts';
import { type FirewallConfig, readConfig } from './config.ts';
import { addZoneSource, removeZoneSource } from './firewalld.ts';
import { addIptablesRules } from './iptables-rules.ts';
import { addNftRules } from './nft-rules.ts';
import { addressesOf, hostCidr, isolationOnly, rulesFor } from './rules.ts';

/** Lets a pod's packets through the machine's firewall; the result is that of the plugin before. */
export async function add(request: PluginRequest, host: PluginHost): Promise<Result> {
  const config = readConfig(request);
  const prevResult = requirePrevResult(request, 'missing prevResult from earlier plugin');
  const tag = ownerTag(ownerOf(request));
  const backend = await chooseBackend(config);
  if (backend === 'nftables') {
    addNftRules(host, rulesFor(prevResult, config), tag);
    return prevResult;
  }
  return await withUndo(async (undo) => {
    const families = rulesFor(prevResult, config);
    claim(host, tag, { prevResult, undo });
    if (backend === 'iptables') for (const rules of families) await addIptablesRules(rules, undo);
    else await addToZone(prevResult, config, undo);
    return prevResult;
  });
}

function claim(
  { nft }: PluginHost,
  tag: string,
  { prevResult, undo }: { prevResult: Result; undo: UndoStack },
): void {
  undo.defer('forget the addresses', () =>
    forgetAddresses(
      nft,
      findAddresses(nft, (other) => other === tag),
    ),
  );
  claimAddresses(nft, tag, addressesOf(prevResult));
}

/** The reference makes the isolation chains with iptables whatever the backend. */
async function addToZone(prevResult: Result, config: FirewallConfig, undo: UndoStack): Promise<void> {
  for (const ip of addressesOf(prevResult)) {
    const address = hostCidr(ip);
    undo.defer(`remove ${address} from zone`, () => removeZoneSource(config.zone, address));
    await addZoneSource(config.zone, address);
  }
  if (config.ingressPolicy === 'open') return;
  for (const rules of rulesFor(prevResult, config)) await addIptablesRules(isolationOnly(rules), undo);
}
