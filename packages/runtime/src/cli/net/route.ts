import { readFileSync } from 'node:fs';
import { type BgpFacts, type LocalView, podAddresses, readFacts, traceRoute } from '@amphipod/fabric';
import {
  formatIp,
  type IpAddress,
  type IpFamily,
  linkList,
  neighList,
  openRtnl,
  type Rtnl,
  routeGet,
  tryParseIp,
} from '@amphipod/netlink';
import { defineCommand } from '../command.ts';
import { CliError } from '../errors.ts';
import { outputFormat, printJson } from '../output.ts';
import { datastoreOptions, withDatastore } from './datastore-options.ts';
import { nodeOptions, nodePlaces } from './node-options.ts';

const FORWARDING: Record<IpFamily, string> = {
  4: '/proc/sys/net/ipv4/ip_forward',
  6: '/proc/sys/net/ipv6/conf/all/forwarding',
};

export const command = defineCommand({
  name: 'net route',
  summary: 'Show the hops that a packet takes from this node, and where it stops',
  operands: 'POD|ADDRESS',
  arity: [1, 1],
  isLocal: true,
  options: {
    output: { type: 'string', short: 'o', value: 'FORMAT', help: 'table (default) or json' },
    nodename: nodeOptions.nodename,
    ...datastoreOptions,
  },
  details: `Looks into this node's kernel and into the datastore; what is behind the next node is told as the datastore has it. POD is NAMESPACE/NAME, or a NAME of
the namespace default. The exit code is 1 when a packet does not arrive.

Examples:
  amphipod net route default/web-0
  amphipod net route 10.0.1.5`,
  async run([subject], { output, ...values }, { env, stdout }) {
    const format = outputFormat(output);
    const { nodeName } = nodePlaces(values);
    return await withDatastore(values, env, async (store) => {
      const facts = await readFacts(store, { nodeName, password: () => undefined });
      using rtnl = openRtnl();
      const ways = addressesOf(facts, subject!).map((to) => ({
        to,
        hops: traceRoute(facts, to, viewOf(rtnl, to)),
      }));
      if (format === 'json')
        printJson(
          stdout,
          ways.map(({ to, hops }) => ({ to: formatIp(to), hops })),
        );
      else {
        for (const { to, hops } of ways) {
          stdout.write(`${formatIp(to)}\n`);
          for (const [i, { at, what, stops = false }] of hops.entries()) {
            stdout.write(`  ${i + 1}. ${at} ${what}${stops ? ' — it stops here' : ''}\n`);
          }
        }
      }
      return ways.every(({ hops }) => hops.every(({ stops = false }) => !stops)) ? 0 : 1;
    });
  },
});

function addressesOf(facts: BgpFacts, subject: string): IpAddress[] {
  const ip = tryParseIp(subject);
  if (ip !== undefined) return [ip];
  const found = podAddresses(facts, subject);
  if (found.length === 0)
    throw new CliError(`there is no WorkloadEndpoint of a pod ${JSON.stringify(subject)}`);
  return found;
}

function viewOf(rtnl: Rtnl, to: IpAddress): LocalView {
  const links = new Map(linkList(rtnl).map((link) => [link.ifIndex, link]));
  return {
    route: routeGet(rtnl, to),
    linkName: (ifIndex) => links.get(ifIndex)?.name ?? `link ${ifIndex}`,
    isLinkUp: (ifIndex) => links.get(ifIndex)?.flags.up ?? false,
    neighbour: (ifIndex, ip) =>
      neighList(rtnl, { ifIndex, family: ip.family }).find((one) => one.ip.value === ip.value),
    isForwarding: readFileSync(FORWARDING[to.family], 'utf8').trim() !== '0',
  };
}
