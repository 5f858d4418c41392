// A real etcd of three members, each in a network namespace of its own, that can be cut off from clients and from each other.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTestNetns, type TestNetns } from '../kernel/netlink-namespaces.ts';
import { createMember, type EtcdMember, etcdGateway } from './etcd-server.ts';

const CLIENT_PORT = 2379;
const PEER_PORT = 2380;
const HEALTH_PORT = 2381;
/** The test's own address. */
const OWN = '198.18.0.1';

export interface NetworkedMember extends EtcdMember {
  /** Nothing goes to it or from it, without a word to anybody. */
  isolate(): void;
  /** The other members do not reach it; its clients do. */
  cutFromPeers(): void;
  /** Undoes the two above. */
  heal(): void;
}

export interface EtcdNetwork extends AsyncDisposable {
  members: [NetworkedMember, NetworkedMember, NetworkedMember];
  endpoints: string[];
  /** The leader, as a member that answers says. */
  leader(): Promise<NetworkedMember>;
}

export async function startEtcdNetwork(): Promise<EtcdNetwork> {
  await using stack = new AsyncDisposableStack();
  const dir = mkdtempSync(join(tmpdir(), 'etcd-test-'));
  stack.defer(() => rmSync(dir, { recursive: true, force: true }));
  const ip = (...args: string[]) => execFileSync('ip', args);
  ip('link', 'add', 'etcd0', 'up', 'type', 'bridge');
  stack.defer(() => {
    ip('link', 'del', 'etcd0');
  });
  ip('addr', 'add', `${OWN}/24`, 'dev', 'etcd0');
  const hosts = [0, 1, 2].map((i) => `198.18.0.${11 + i}`);
  const peers = hosts.map((host, i) => `m${i}=http://${host}:${PEER_PORT}`).join(',');
  const members = hosts.map((host, i) => {
    const netns = stack.use(createTestNetns());
    ip(
      'link',
      'add',
      `etcd0m${i}`,
      'up',
      'master',
      'etcd0',
      'type',
      'veth',
      'peer',
      'eth0',
      'netns',
      netns.pin,
    );
    for (const link of ['lo', 'eth0']) netns.run('ip', 'link', 'set', link, 'up');
    netns.run('ip', 'addr', 'add', `${host}/24`, 'dev', 'eth0');
    const member = createMember({
      name: `m${i}`,
      dir,
      peers,
      clientUrl: `http://${host}:${CLIENT_PORT}`,
      peerUrl: `http://${host}:${PEER_PORT}`,
      healthUrl: `http://${host}:${HEALTH_PORT}`,
      netns: netns.pin,
    });
    stack.defer(() => member.kill());
    return withCuts(member, netns);
  }) as EtcdNetwork['members'];
  await Promise.all(members.map((member) => member.start()));
  const rest = stack.move();
  return {
    members,
    endpoints: members.map(({ endpoint }) => endpoint),
    leader: () => findLeader(members),
    [Symbol.asyncDispose]: () => rest.disposeAsync(),
  };
}

function withCuts(member: EtcdMember, netns: TestNetns): NetworkedMember {
  const drop = (match: string[]) => {
    netns.run('nft', 'add', 'table', 'inet', 'cut');
    for (const hook of ['input', 'output']) {
      netns.run('nft', `add chain inet cut ${hook} { type filter hook ${hook} priority 0; }`);
      for (const one of match) netns.run('nft', `add rule inet cut ${hook} ${one} drop`);
    }
  };
  return Object.assign(member, {
    isolate: () => drop(['meta l4proto tcp']),
    cutFromPeers: () => drop([`tcp dport ${PEER_PORT}`, `tcp sport ${PEER_PORT}`]),
    heal: () => {
      netns.run('nft', 'delete', 'table', 'inet', 'cut');
    },
  });
}

interface Status {
  header: { member_id: string };
  leader?: string;
}

async function findLeader(members: readonly NetworkedMember[]): Promise<NetworkedMember> {
  for (;;) {
    const answers = await Promise.all(
      members.map(({ endpoint }) => etcdGateway(endpoint, 'maintenance/status', {}).catch(() => undefined)),
    );
    const found = (answers as (Status | undefined)[]).findIndex(
      (status) => status?.leader !== undefined && status.leader === status.header.member_id,
    );
    if (found >= 0) return members[found]!;
  }
}
