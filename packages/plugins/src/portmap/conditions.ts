import { CniError } from '@amphipod/cni';
import {
  formatIp,
  type IpAddress,
  type Nft,
  type NftRule,
  nftListRules,
  nftTransaction,
} from '@amphipod/netlink';
import { ifThere } from '../lib/if-there.ts';
import { runProgram } from '../lib/run-program.ts';
import { appliesTo, type PortmapConfig } from './config.ts';
import { formatEndpoint, isAny } from './entries.ts';
import { CONDITIONS_CHAIN, frame, tables } from './host-ports.ts';

/**
 * Ports that are open under conditions only: rules instead of elements of a map. The conditions are in nft's language, so nft
 * is the one to read them; everything else is done without it. @throws CniError with nft's own words
 */
export async function addConditionalPorts(
  conn: Nft,
  config: PortmapConfig,
  { pod, comment }: { pod: IpAddress; comment: string },
): Promise<void> {
  const { ref } = tables[pod.family];
  const words = config.conditions[pod.family].join(' ');
  if (words.includes('\n') || words.includes(';')) {
    const key = `conditionsV${pod.family}`;
    throw new CniError(
      'invalid-network-config',
      `key "${key}": got ${JSON.stringify(words)}, want one match`,
      {
        key,
      },
    );
  }
  // Tables of an earlier version have no such chain.
  nftTransaction(conn, frame(tables[pod.family]));
  const rules = config.mappings
    .filter((mapping) => appliesTo(mapping, pod.family))
    .map(({ protocol, hostIp, hostPort, containerPort }) => {
      const to = isAny(hostIp) ? '' : `${ref.family} daddr ${formatIp(hostIp)} `;
      const target = formatEndpoint(pod, containerPort);
      const match = `${words} ${to}${protocol} dport ${hostPort}`;
      return `add rule ${ref.family} ${ref.table} ${CONDITIONS_CHAIN} ${match} dnat to ${target} comment ${JSON.stringify(comment)}`;
    });
  const end = await runProgram('nft', ['-f', '-'], `${rules.join('\n')}\n`);
  if (end === undefined) {
    throw new CniError('internal', 'run nft: not found', {
      details: 'the configuration has conditions for nftables; install the Debian package "nftables"',
    });
  }
  if (end.exitCode === 0) return;
  throw new CniError(
    'invalid-network-config',
    `conditionsV${pod.family} ${JSON.stringify(words)}: ${end.stderr.trim()}`,
    {
      key: `conditionsV${pod.family}`,
    },
  );
}

/** How many conditional ports have this comment. */
export function countConditionalPorts(conn: Nft, family: IpAddress['family'], comment: string): number {
  return listRules(conn, family).filter((rule) => rule.comment === comment).length;
}

/** Whether a pod has such ports. */
export function hasConditionalPorts(conn: Nft, family: IpAddress['family']): boolean {
  return listRules(conn, family).length > 0;
}

/** Takes out the rules whose comment is unwanted. */
export function removeConditionalPorts(
  conn: Nft,
  isUnwanted: (comment: string | undefined) => boolean,
): void {
  const rules = ([4, 6] as const)
    .flatMap((family) => listRules(conn, family))
    .filter(({ comment }) => isUnwanted(comment));
  nftTransaction(
    conn,
    rules.map((rule) => ({ op: 'delete', ...rule }) as const),
  );
}

function listRules(conn: Nft, family: IpAddress['family']): NftRule[] {
  return ifThere(() => nftListRules(conn, { ...tables[family].ref, chain: CONDITIONS_CHAIN }), []);
}
