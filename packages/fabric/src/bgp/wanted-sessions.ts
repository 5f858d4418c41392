import { type Cidr, formatIp, type IpAddress, parseIp } from '@amphipod/netlink';
import { goDurationMs } from '../resources/go-duration.ts';
import {
  addressOf,
  type BgpFacts,
  type NodeBgp,
  nodeBgp,
  type PasswordRef,
  settingsOf,
  usualPort,
} from './bgp-facts.ts';
import type { BirdBgp } from './bird-config.ts';
import { explicitPeers } from './explicit-peers.ts';

/** A peer of this node before it is checked. */
export interface Candidate {
  /** `Mesh`, `Global`, `Node` or `Local_Workload`, as Calico calls them. */
  readonly origin: 'Mesh' | 'Global' | 'Node' | 'Local_Workload';
  /** For people: where it comes from. */
  readonly from: string;
  readonly ip: IpAddress;
  readonly port: number;
  readonly asNumber: number;
  /** The node, if it is one of ours. */
  readonly node?: NodeBgp;
  readonly localAsNumber?: number | undefined;
  readonly password?: PasswordRef | undefined;
  /** As in the resources: `2m`. */
  readonly restartTime?: string | undefined;
  readonly keepaliveTime?: string | undefined;
  readonly nextHop?: 'auto' | 'self' | 'keep';
  /** Connects from whatever address the kernel chooses. */
  readonly anySource?: boolean;
  readonly allowedLocalAs?: number | undefined;
  readonly ttlSecurityHops?: number | undefined;
  readonly reachableBy?: string | undefined;
  /** Names of BGPFilters. */
  readonly filters: readonly string[];
}

/** A session that is wanted. */
export interface WantedSession {
  readonly bgp: BirdBgp;
  readonly candidate: Candidate;
  readonly sameAs: boolean;
}

/** Something that could not be done as the resources say, with the reason. */
export interface Problem {
  readonly subject: string;
  readonly why: string;
}

const PREFERRED = ['Node', 'Global', 'Local_Workload', 'Mesh'];

/** The sessions of this node, ordered by name: each peer once, whatever number of resources name it. */
export function wantedSessions(
  facts: BgpFacts,
  own: NodeBgp,
): { sessions: WantedSession[]; problems: Problem[] } {
  const problems: Problem[] = [];
  const candidates = [...explicitPeers(facts, own), ...meshPeers(facts, own, problems)];
  candidates.sort((a, b) => PREFERRED.indexOf(a.origin) - PREFERRED.indexOf(b.origin));
  const sessions = new Map<string, WantedSession>();
  const taken = new Map<string, Candidate>();
  for (const candidate of candidates) {
    const place = `${formatIp(candidate.ip)} port ${candidate.port}`;
    const before = taken.get(place);
    if (before !== undefined) {
      if (candidate.node !== undefined && before.node?.name === candidate.node.name) continue;
      problems.push({
        subject: candidate.from,
        why: `${place} is the peer of ${before.from} as well`,
      });
      continue;
    }
    taken.set(place, candidate);
    const made = makeSession(facts, own, candidate);
    if ('why' in made) problems.push({ subject: candidate.from, why: made.why });
    else sessions.set(made.bgp.name, made);
  }
  return { sessions: [...sessions.values()].sort((a, b) => (a.bgp.name < b.bgp.name ? -1 : 1)), problems };
}

/** All other nodes, where every node peers with every other. Route reflectors have no part in it. */
function meshPeers(facts: BgpFacts, own: NodeBgp, problems: Problem[]): Candidate[] {
  const mesh = settingsOf(facts, '');
  if (mesh.nodeToNodeMeshEnabled === false || own.clusterId !== undefined) return [];
  return facts.nodes.flatMap((resource) => {
    const node = nodeBgp(facts, resource);
    if (node === undefined || node.name === own.name || node.clusterId !== undefined) return [];
    return ([4, 6] as const).flatMap((family) => {
      const [ip, ours] = [addressOf(node, family)?.ip, addressOf(own, family)?.ip];
      if (ip === undefined || ours === undefined) return [];
      const from = `node "${node.name}"`;
      if (ip.value === ours.value) {
        problems.push({
          subject: from,
          why: `it has our own address ${formatIp(ip)}, as node "${own.name}" has`,
        });
        return [];
      }
      return {
        origin: 'Mesh',
        from,
        ip,
        port: node.port,
        asNumber: node.asNumber,
        node,
        password: mesh.nodeMeshPassword,
        restartTime: mesh.nodeMeshMaxRestartTime,
        filters: [],
      };
    });
  });
}

function makeSession(facts: BgpFacts, own: NodeBgp, candidate: Candidate): WantedSession | { why: string } {
  const { ip, node, origin, port } = candidate;
  const { family } = ip;
  const source: Cidr | undefined = addressOf(own, family);
  if (source === undefined) return { why: `this node has no IPv${family} address` };
  const localAs = candidate.localAsNumber ?? own.asNumber;
  const sameAs = localAs === candidate.asNumber;
  const password = passwordOf(facts, candidate.password);
  if (typeof password === 'object') return password;
  const isClient = sameAs && own.clusterId !== undefined && node?.clusterId !== own.clusterId;
  const settings = settingsOf(facts, own.name);
  const bgp: BirdBgp = {
    type: 'bgp',
    name: sessionName(origin, ip, port),
    family,
    ...(candidate.anySource !== true && { localAddress: source.ip }),
    ...(own.port !== usualPort && { localPort: own.port }),
    localAs,
    neighbor: ip,
    ...(port !== usualPort && { neighborPort: port }),
    neighborAs: candidate.asNumber,
    strictBind: settings.bindMode === 'NodeIP' && candidate.anySource !== true,
    passive: origin === 'Local_Workload',
    ...(candidate.ttlSecurityHops !== undefined && {
      ttlSecurityHops: Math.max(1, candidate.ttlSecurityHops),
    }),
    ...(isClient && { routeReflectorClusterId: parseIp(own.clusterId) }),
    ...(candidate.allowedLocalAs !== undefined && { allowedLocalAs: candidate.allowedLocalAs }),
    ...secondsOf('keepaliveSeconds', candidate.keepaliveTime),
    ...secondsOf('restartSeconds', candidate.restartTime),
    ...(password !== undefined && { password }),
    nextHop: candidate.nextHop ?? 'auto',
    importFilter: `import_${sessionName(origin, ip, port)}`,
    exportFilter: `export_${sessionName(origin, ip, port)}`,
  };
  return { bgp, candidate, sameAs };
}

/** `Mesh_192_0_2_1`, `Global_2001_db8__1_port_1790` */
function sessionName(origin: string, ip: IpAddress, port: number): string {
  const address = formatIp(ip).replaceAll(/[.:]/g, '_');
  return `${origin}_${address}${port === usualPort ? '' : `_port_${port}`}`;
}

function secondsOf<K extends string>(key: K, duration: string | undefined): Partial<Record<K, number>> {
  if (duration === undefined) return {};
  return { [key]: Math.max(1, Math.round(goDurationMs(duration)! / 1000)) } as Record<K, number>;
}

/** A session that was to have a password is not made without. */
function passwordOf(facts: BgpFacts, ref: PasswordRef | undefined): string | undefined | { why: string } {
  const { name, key } = ref?.secretKeyRef ?? {};
  if (key === undefined) return undefined;
  const where = `key ${JSON.stringify(key)} of secret ${JSON.stringify(name ?? '')}`;
  const password = facts.password(name ?? '', key);
  if (password === undefined) return { why: `its password is not there: ${where}` };
  // BIRD's strings know no escapes, and TCP-MD5 takes 80 bytes.
  if (/["\n\0]/.test(password) || Buffer.byteLength(password) > 80 || password === '') {
    return {
      why: `its password cannot be used: ${where}: 1 to 80 bytes without quotation marks and line ends`,
    };
  }
  return password;
}
