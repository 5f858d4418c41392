import type { PluginRequest } from '@amphipod/cni';
import { linkFind } from '@amphipod/netlink';
import { checkFailure } from '../lib/check-interface.ts';
import type { PluginHost } from '../lib/host.ts';
import { requirePrevResult } from '../lib/prev-result.ts';
import { readConfig } from './config.ts';
import { type LinkSettings, settingsOf } from './link-settings.ts';
import { readSysctls, sysctlFiles } from './sysctls.ts';

/** The reference's names of the settings. */
const names: Record<keyof LinkSettings, string> = {
  mac: 'Ethernet',
  mtu: 'MTU',
  promisc: 'promiscuous mode',
  allMulti: 'all-multicast mode',
  txQueueLength: 'Transmit Queue Length',
};

/** Compares sysctls and settings of the interface with the configuration. */
export async function check(request: PluginRequest, host: PluginHost): Promise<void> {
  const config = readConfig(request);
  requirePrevResult(request);
  const { ifName } = request;
  const sysctls = sysctlFiles(config.sysctls, ifName);
  using pod = host.openPod(request.netns);
  const present = readSysctls(pod, sysctls);
  for (const [i, { path, value }] of sysctls.entries()) {
    if (!sameValue(value, present[i]!)) {
      throw checkFailure(
        `Error: Tuning configured value of ${path} is ${value}, current value is ${present[i]}`,
      );
    }
  }
  const link = linkFind(pod.rtnl, ifName);
  if (link === undefined) throw checkFailure(`Cannot find container link ${ifName}`);
  const current = settingsOf(link, config.link);
  for (const key of Object.keys(names) as (keyof LinkSettings)[]) {
    if (config.link[key] === current[key]) continue;
    throw checkFailure(
      `Error: Tuning configured ${names[key]} of ${ifName} is ${config.link[key]}, current value is ${current[key]}`,
    );
  }
}

/** The kernel puts tabs between the numbers of a list, whatever it was given. */
function sameValue(a: string, b: string): boolean {
  const words = (text: string) => text.trim().split(/\s+/).join(' ');
  return words(a) === words(b);
}
