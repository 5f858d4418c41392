import type { PluginRequest } from '@amphipod/cni';
import {
  htbClassList,
  type Link,
  qdiscFind,
  type Rtnl,
  readPsched,
  tcHandle,
  u32FilterList,
} from '@amphipod/netlink';
import { checkFailure } from '../lib/check-interface.ts';
import type { PluginHost } from '../lib/host.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { requirePrevResult } from '../lib/prev-result.ts';
import { INGRESS } from './add.ts';
import { readConfig } from './config.ts';
import { findHostInterface } from './find-host-interface.ts';
import { findIfb, ifbNames } from './ifb.ts';
import { ROOT, SHAPED_CLASS, type Shaping, tokenBucket, UNSHAPED_CLASS } from './shape.ts';
import { type Side, subnetFilter } from './subnet-filter.ts';

/** Looks whether both directions are still limited as the configuration says. */
export async function check(request: PluginRequest, host: PluginHost): Promise<void> {
  const { ingress, egress, shaped } = readConfig(request);
  const prevResult = requirePrevResult(request, 'must be called as a chained plugin');
  if (ingress === undefined && egress === undefined) return;
  const veth = findHostInterface(request, host, prevResult);
  const psched = readPsched();
  const { rtnl } = host;
  if (ingress !== undefined) {
    checkShape(rtnl, { link: veth, remote: 'source' }, { limit: ingress, shaped, psched });
  }
  if (egress === undefined) return;
  const ifb = findIfb(rtnl, ownerOf(request));
  if (ifb === undefined) throw checkFailure(`get ifb device: ${ifbNames(ownerOf(request))[0]} not found`);
  if (!ifb.flags.up) throw checkFailure(`ifb device ${ifb.name} is down`);
  checkRedirect(rtnl, veth, ifb);
  checkShape(rtnl, { link: ifb, remote: 'destination' }, { limit: egress, shaped, psched });
}

function checkRedirect(rtnl: Rtnl, veth: Link, ifb: Link): void {
  const isRedirected =
    qdiscFind(rtnl, veth.ifIndex, 'ingress')?.kind === 'ingress' &&
    u32FilterList(rtnl, veth.ifIndex, INGRESS).some(
      ({ redirectTo, keys }) => redirectTo === ifb.ifIndex && keys.length === 0,
    );
  if (!isRedirected) {
    throw checkFailure(`what arrives through ${veth.name} is not redirected to ${ifb.name}`);
  }
}

interface NamedLink {
  link: Link;
  remote: Side;
}

function checkShape(rtnl: Rtnl, { link, remote }: NamedLink, shaping: Shaping): void {
  const { kind } = shaping.shaped;
  const qdisc = qdiscFind(rtnl, link.ifIndex, 'root');
  if (qdisc?.kind !== (kind === 'all' ? 'tbf' : 'htb')) {
    throw checkFailure(`Failed to find qdisc on ${link.name}`);
  }
  if (kind !== 'all') {
    const wanted = kind === 'only' ? UNSHAPED_CLASS : SHAPED_CLASS;
    if (qdisc.htb?.defaultClass !== wanted) throw checkFailure('Default class does not match');
    checkClasses(rtnl, link, shaping);
    checkFilters(rtnl, { link, remote }, shaping);
    return;
  }
  const wanted = tokenBucket(shaping.psched, shaping.limit);
  const mismatch = (what: string) => checkFailure(`${what} doesn't match on ${link.name}`);
  if (qdisc.tbf?.bytesPerSecond !== wanted.bytesPerSecond) throw mismatch('Rate');
  if (qdisc.tbf.limitBytes !== wanted.limitBytes) throw mismatch('Limit');
  if (qdisc.tbf.bufferTicks !== wanted.bufferTicks) throw mismatch('Buffer');
}

function checkClasses(rtnl: Rtnl, link: Link, { limit, psched }: Shaping): void {
  const found = htbClassList(rtnl, link.ifIndex);
  const shapedClass = found.find(({ handle }) => handle === tcHandle(1, SHAPED_CLASS));
  if (shapedClass === undefined || !found.some(({ handle }) => handle === tcHandle(1, UNSHAPED_CLASS))) {
    throw checkFailure(`Number of htb classes does not match for device ${link.name}`);
  }
  const { bytesPerSecond, bufferTicks } = tokenBucket(psched, limit);
  if (shapedClass.bytesPerSecond !== bytesPerSecond) {
    throw checkFailure(`Rate does not match for the shaped class of ${link.name}`);
  }
  if (shapedClass.bufferTicks !== bufferTicks) {
    throw checkFailure(`Burst buffer size does not match for the shaped class of ${link.name}`);
  }
}

function checkFilters(rtnl: Rtnl, { link, remote }: NamedLink, { shaped }: Shaping): void {
  const listedClass = tcHandle(1, shaped.kind === 'only' ? SHAPED_CLASS : UNSHAPED_CLASS);
  const present = u32FilterList(rtnl, link.ifIndex, ROOT);
  for (const subnet of shaped.subnets) {
    const { protocol, keys } = subnetFilter(subnet, remote);
    const isThere = present.some(
      (filter) =>
        filter.protocol === protocol &&
        filter.classId === listedClass &&
        JSON.stringify(filter.keys) === JSON.stringify(keys),
    );
    if (!isThere) throw checkFailure(`a filter for one of the subnets is missing on ${link.name}`);
  }
}
