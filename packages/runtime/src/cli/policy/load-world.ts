import { NodeWorld, type PolicyWorld, policyFiles, readPolicyFiles } from '@amphipod/fabric/policy';
import { PodSandboxState } from '../../gen/api.ts';
import type { CommandContext, OptionSpecs } from '../command.ts';
import { CliError } from '../errors.ts';

/** Options of the commands that read policies. */
export const worldOptions = {
  'policy-dir': {
    type: 'string',
    multiple: true,
    value: 'PATH',
    help: 'directory or file with policies (/etc/amphipod/policies)',
  },
  offline: { type: 'boolean', help: 'only the pods of the files, not those of the runtime' },
} as const satisfies OptionSpecs;

export interface WorldOptions {
  'policy-dir'?: string[];
  offline?: boolean;
}

/** Policies and pods of the files, with the pods that the runtime has; and what of the files cannot be used. @throws CliError */
export async function loadWorld(
  { 'policy-dir': paths = ['/etc/amphipod/policies'], offline = false }: WorldOptions,
  context: Pick<CommandContext, 'client'>,
): Promise<{ world: PolicyWorld; problems: Error[] }> {
  const { resources, problems } = readPolicyFiles(paths.flatMap(filesOf));
  const node = new NodeWorld();
  for (const resource of resources) node.put(resource);
  if (!offline) await addRunningPods(node, context);
  return { world: node.world, problems };
}

function filesOf(path: string): string[] {
  try {
    return policyFiles(path);
  } catch (error) {
    throw new CliError((error as Error).message, { cause: error });
  }
}

async function addRunningPods(node: NodeWorld, context: Pick<CommandContext, 'client'>): Promise<void> {
  const { runtime } = await context.client();
  const { items } = await runtime.listPodSandbox({ filter: undefined });
  const ready = items.filter(({ state }) => state === PodSandboxState.SANDBOX_READY);
  await Promise.all(
    ready.map(async ({ id, labels, metadata }) => {
      const { status } = await runtime.podSandboxStatus({ podSandboxId: id, verbose: false });
      const { ip = '', additionalIps = [] } = status?.network ?? {};
      // A pod on the host's network has none of its own.
      if (ip === '' || metadata === undefined) return;
      const ips = [ip, ...additionalIps.map((additional) => additional.ip)];
      node.podStarted({ id, namespace: metadata.namespace, name: metadata.name, labels, ips });
    }),
  );
}

/** The numbers of protocols by the names that people give them. */
export const protocols: Record<string, number> = { tcp: 6, udp: 17, sctp: 132, icmp: 1, icmpv6: 58 };
