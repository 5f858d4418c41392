import { decodeDns, type PluginRequest, type Result } from '@amphipod/cni';
import { type Link, linkGet, linkSet, parseCidr } from '@amphipod/netlink';
import { configureInterface } from '../lib/configure-interface.ts';
import type { PluginHost, Pod } from '../lib/host.ts';
import { ipamAdd } from '../lib/ipam.ts';
import { refuseIfTaken } from '../lib/link-in-pod.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { trySysctl } from '../lib/settings.ts';
import { withUndo } from '../lib/with-undo.ts';
import { announce, waitForCarrier } from './announce.ts';
import { type Call, isSameOwner } from './call.ts';
import { type Claimed, claim, takeMac } from './claim.ts';
import { readConfig, requireDeviceId, type SriovConfig } from './config.ts';
import { openLog } from './log.ts';
import { moveIn } from './netdev.ts';
import type { Places } from './places.ts';
import { releaseOf } from './release.ts';
import { applySettings, describeSetting, differences, wantedSettings } from './settings.ts';
import { settleMac } from './settle-mac.ts';
import { readVf } from './virtual-function.ts';

/** Gives the pod a virtual function; as it was after a failure. */
export async function add(request: PluginRequest, host: PluginHost, places: Places): Promise<Result> {
  const config = readConfig(request);
  const address = requireDeviceId(config);
  const log = openLog(request, config);
  const call: Call = { request, host, places, log };
  const owner = ownerOf(request);
  const dns = decodeDns(request.config.dns);
  using pod = host.openPod(request.netns);
  refuseIfTaken(pod, request.ifName);
  return await withUndo(async (undo) => {
    undo.defer(`release ${address}`, async (signal) => {
      const late: Call = { ...call, request: { ...request, signal } };
      await releaseOf(late, address, (record) => isSameOwner(record.owner, owner));
    });
    const claimed = await claim(call, config);
    const { vf, netdev } = claimed;
    await configureVf(call, claimed, config);
    const link = netdev === undefined ? undefined : await intoPod(call, pod, { netdev, mac: config.mac });
    const { ipamType } = config;
    const layer3 = ipamType === undefined ? undefined : await ipamAdd(request, ipamType, undo);
    if (link !== undefined) await bringUp(pod, link, layer3);
    log('info', `${address} (vf ${vf.index} of ${vf.pfName}) is with the pod`);
    const mac = link?.mac ?? readVf(host.rtnl, vf).mac;
    const { ips, routes } = layer3 ?? {};
    const says = dns ?? layer3?.dns;
    return {
      interfaces: [
        {
          ...{ name: request.ifName, mac },
          ...(link !== undefined && { mtu: link.mtu }),
          ...{ sandbox: request.netns, pciID: address },
        },
      ],
      ...(ips !== undefined && { ips: ips.map((ip) => ({ ...ip, interface: 0 })) }),
      ...(routes !== undefined && { routes }),
      ...(says !== undefined && { dns: says }),
    };
  });
}

/** The physical function's part. */
async function configureVf(call: Call, { vf, info }: Claimed, config: SriovConfig): Promise<void> {
  const { mac, ...others } = differences(wantedSettings(config), info);
  for (const key of Object.keys(others) as (keyof typeof others)[]) {
    call.log('debug', `${vf.address}: ${describeSetting(key, others)}`);
  }
  applySettings(call.host.rtnl, vf, others);
  if (config.mac === undefined) return;
  call.log('debug', `${vf.address}: mac ${mac ?? 'is there'}`);
  await takeMac(call, vf, config.mac);
}

async function intoPod(
  call: Call,
  pod: Pod,
  { netdev, mac }: { netdev: Link; mac: string | undefined },
): Promise<Link> {
  const link = moveIn(call, pod, netdev);
  if (mac === undefined) return link;
  await settleMac(pod.rtnl, link.ifIndex, mac);
  return linkGet(pod.rtnl, link.ifIndex);
}

async function bringUp(pod: Pod, link: Link, layer3: Result | undefined): Promise<void> {
  const { ifIndex, name: ifName } = link;
  const hasIpv6 = (layer3?.ips ?? []).some(({ address }) => parseCidr(address).ip.family === 6);
  if (hasIpv6) pod.run<void>(() => trySysctl(`net/ipv6/conf/${ifName}/ndisc_notify`, '1'));
  linkSet(pod.rtnl, ifIndex, { up: true, ipv4: { arpNotify: true } });
  if (layer3 === undefined) return;
  const hasCarrier = await waitForCarrier(pod, ifIndex);
  // Without a carrier there is nobody to ask.
  await configureInterface(pod, layer3, { ifIndex, ifName, enableDad: hasIpv6 && hasCarrier });
  announce(pod, link, layer3);
}
