import { type IpFamily, parseCidr } from '@amphipod/netlink';
import type { IpPool } from '../resources/ip-pool.ts';
import { type BgpFacts, type NodeBgp, normalPriority, settingsOf } from './bgp-facts.ts';
import type { BirdFilter, BirdFunction, BirdStatement } from './bird-config.ts';
import { clusterRouteProtocol } from './cluster-route.ts';
import { LEAST_CARRIED, localPrefOf } from './local-pref.ts';
import { ownBlocks, serviceNetworks, serviceRanges } from './node-networks.ts';

/** Devices of tunnels and what runs in the kernel: routes through them are of no use to other nodes. */
const TUNNELS = ['*.cali', '*.calico', 'tunl0'];
const NEVER_TOLD = 'bpf*.cali';

/** The function that writes a route's metric into its local preference. */
export function priorityFunctionName(family: IpFamily): string {
  return `priority${family}`;
}

/** The function that says which routes are told to peers. */
export function exportFunctionName(family: IpFamily): string {
  return `to_peers${family}`;
}

/** What the filters of all sessions of a family have in common. */
export function commonFunctions(facts: BgpFacts, own: NodeBgp, family: IpFamily): BirdFunction[] {
  const normal = localPrefOf(normalPriority(settingsOf(facts, own.name), family));
  const isOwn = { is: 'not', of: { is: 'source', source: 'bgp' } } as const;
  return [
    {
      name: priorityFunctionName(family),
      knowsPeer: false,
      body: [
        { do: 'if', condition: isOwn, body: [{ do: 'set-local-pref', value: normal }] },
        {
          do: 'if',
          condition: { is: 'all', of: [isOwn, { is: 'metric' }] },
          body: [{ do: 'local-pref-from-metric' }],
        },
      ],
    },
    { name: exportFunctionName(family), knowsPeer: true, body: exportBody(facts, own, family) },
  ];
}

function exportBody(facts: BgpFacts, own: NodeBgp, family: IpFamily): BirdStatement[] {
  const pools = poolsOf(facts, family);
  return [
    ...pools.flatMap((pool) =>
      pool.spec.disableBGPExport === true
        ? within(pool, 'reject', 'is not told to peers: disableBGPExport')
        : [],
    ),
    ...TUNNELS.map((pattern) =>
      when(
        { is: 'all', of: [{ is: 'same-as' }, { is: 'interface', pattern }] },
        { do: 'reject', why: `it leads into a tunnel (${pattern}), and the peer has one of its own` },
      ),
    ),
    when(
      { is: 'interface', pattern: NEVER_TOLD },
      { do: 'reject', why: `it leads to an interface of this node (${NEVER_TOLD})` },
    ),
    ...communityStatements(facts, own, family),
    ...aggregation(facts, own, family),
    ...services(facts, own, family),
    ...pools.flatMap((pool) =>
      pool.spec.disableBGPExport === true ? [] : within(pool, 'accept', 'is told to peers'),
    ),
  ];
}

function when(
  condition: Extract<BirdStatement, { do: 'if' }>['condition'],
  ...body: BirdStatement[]
): BirdStatement {
  return { do: 'if', condition, body };
}

function poolsOf({ pools }: BgpFacts, family: IpFamily): IpPool[] {
  return pools.filter(({ spec }) => parseCidr(spec.cidr).ip.family === family);
}

function within({ metadata, spec }: IpPool, verdict: 'accept' | 'reject', what: string): BirdStatement[] {
  const why = `IPPool "${metadata.name}" ${what}`;
  return [when({ is: 'within', network: parseCidr(spec.cidr) }, { do: verdict, why })];
}

/** `prefixAdvertisements`: communities for what lies within a network. */
function communityStatements(facts: BgpFacts, own: NodeBgp, family: IpFamily): BirdStatement[] {
  const { prefixAdvertisements = [], communities = [] } = settingsOf(facts, own.name);
  const values = new Map(communities.map(({ name, value }) => [name, value]));
  return prefixAdvertisements.flatMap(({ cidr, communities: names = [] }) => {
    const network = parseCidr(cidr);
    if (network.ip.family !== family) return [];
    const body = names.map((name) => ({ do: 'add-community', community: values.get(name) ?? name }) as const);
    return when({ is: 'within', network }, ...body);
  });
}

/** A block is told as one, and what is in it is not, unless it is preferred over the usual. */
function aggregation(facts: BgpFacts, own: NodeBgp, family: IpFamily): BirdStatement[] {
  const normal = normalPriority(settingsOf(facts, own.name), family);
  return ownBlocks(facts, own.name, family).flatMap((network) => [
    when({ is: 'network', network }, { do: 'accept', why: 'it is a block of this node' }),
    when(
      { is: 'all', of: [{ is: 'within', network }, { is: 'metric' }, { is: 'metric-below', value: normal }] },
      { do: 'accept', why: 'it is preferred over its block, which is of this node' },
    ),
    when(
      { is: 'within', network },
      { do: 'reject', why: 'it is in a block of this node, which is told as a whole' },
    ),
  ]);
}

/** A route reflector passes on what other nodes tell of services, whether it tells of them itself or not. */
function services(facts: BgpFacts, own: NodeBgp, family: IpFamily): BirdStatement[] {
  const told =
    own.clusterId === undefined
      ? serviceNetworks(facts, own, family)
      : serviceRanges(facts, own.name, family);
  return told.map((network) => when({ is: 'within', network }, { do: 'accept', why: 'it is of a service' }));
}

/** What is learned from the kernel, and what is written to it. */
export function kernelFilters(facts: BgpFacts, own: NodeBgp, family: IpFamily): BirdFilter[] {
  const settings = settingsOf(facts, own.name);
  const normal = normalPriority(settings, family);
  const isBgp = { is: 'source', source: 'bgp' } as const;
  const isStatic = { is: 'source', source: 'static' } as const;
  return [
    {
      name: `from_kernel${family}`,
      body: [
        when(
          {
            is: 'all',
            of: [
              { is: 'kernel-protocol', value: clusterRouteProtocol },
              ...TUNNELS.map((pattern) => ({ is: 'not', of: { is: 'interface', pattern } }) as const),
            ],
          },
          { do: 'reject', why: 'the agent wrote it for this node only' },
        ),
        when({ is: 'unicast' }, { do: 'accept', why: 'the kernel has it' }),
        { do: 'reject', why: 'it leads nowhere: blackholes of blocks are written by the agent' },
      ],
    },
    {
      name: `to_kernel${family}`,
      body: [
        when({ is: 'not', of: { is: 'unicast' } }, { do: 'reject', why: 'it leads nowhere' }),
        when(
          { is: 'all', of: [isStatic, { is: 'unicast' }] },
          { do: 'accept', why: 'reachableBy of a peer' },
        ),
        when({ is: 'not', of: isBgp }, { do: 'reject', why: 'it is not of a peer' }),
        ...poolsOf(facts, family).flatMap((pool) =>
          isWrittenByBird(pool, settings.programClusterRoutes)
            ? []
            : within(pool, 'reject', 'has its routes written by the agent'),
        ),
        { do: 'set-metric', value: normal },
        when({ is: 'local-pref-above', value: LEAST_CARRIED }, { do: 'metric-from-local-pref' }),
        { do: 'accept', why: 'it is of a peer' },
      ],
    },
  ];
}

/** Whether BIRD writes routes to other nodes' blocks of a pool; else the agent does. BIRD 2 knows no tunnels. */
export function isWrittenByBird({ spec }: IpPool, program: string | undefined): boolean {
  const isPlain = (spec.vxlanMode ?? 'Never') === 'Never' && (spec.ipipMode ?? 'Never') === 'Never';
  return isPlain && program !== 'Disabled' && program !== 'EnabledIPIPOnly';
}
