import type { RuntimeContext } from '../../context.ts';
import { CriError, errorText } from '../../errors.ts';
import type { FurtherNetwork, Sandbox } from '../../store/records.ts';
import { furtherAttachment } from './attach.ts';
import { loadDefinitions } from './definitions.ts';

export function hasFurtherNetworks({ furtherNetworks = [] }: Sandbox): boolean {
  return furtherNetworks.length > 0;
}

/**
 * Detaches a pod from all its further networks, the last first; each is tried whatever became of the others (field case SRI-05).
 * Fine when there is none. @throws AggregateError with every failure
 */
export async function detachFurtherNetworks(
  context: RuntimeContext,
  sandbox: Sandbox,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const failures: unknown[] = [];
  for (const further of (sandbox.furtherNetworks ?? []).toReversed()) {
    try {
      await detachOne(context, sandbox, { further, signal });
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw new AggregateError(failures, `detach networks of sandbox ${sandbox.id}`);
}

/** After a crash: detaches a pod that lives on from what was being attached, which nobody was told of. @throws CniError */
export async function detachUnfinished(
  context: RuntimeContext,
  sandbox: Sandbox,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  for (const further of (sandbox.furtherNetworks ?? []).toReversed()) {
    if (further.state === 'attaching') await detachOne(context, sandbox, { further, signal });
  }
}

/** Detaches a pod from the network that `name` means: an interface, NAME or NAMESPACE/NAME. @throws CriError; CniError */
export async function detachNamedNetwork(
  context: RuntimeContext,
  sandbox: Sandbox,
  { name, signal }: { name: string; signal: AbortSignal },
): Promise<void> {
  await detachOne(context, sandbox, { further: findFurther(sandbox, name), signal });
}

function findFurther({ furtherNetworks = [], config }: Sandbox, name: string): FurtherNetwork {
  const byInterface = furtherNetworks.find(({ ifName }) => ifName === name);
  if (byInterface !== undefined) return byInterface;
  const full = name.includes('/') ? name : `${config.metadata?.namespace || 'default'}/${name}`;
  const [found, ...more] = furtherNetworks.filter(({ definition }) => definition === full);
  if (found === undefined) {
    const known = furtherNetworks.map(({ definition, ifName }) => `${definition}@${ifName}`).join(', ');
    throw new CriError(
      'not-found',
      `find network "${name}" of the pod: it has ${known || 'no further networks'}`,
    );
  }
  if (more.length === 0) return found;
  const names = [found, ...more].map(({ ifName }) => ifName).join(', ');
  throw new CriError(
    'invalid-argument',
    `find network "${name}" of the pod: it has several, say which: ${names}`,
  );
}

async function detachOne(
  context: RuntimeContext,
  sandbox: Sandbox,
  { further, signal }: { further: FurtherNetwork; signal: AbortSignal },
): Promise<void> {
  const attachment = furtherAttachment(context, sandbox, further);
  const list = context.cni.cachedConfig(further.network, attachment) ?? (await currentList(context, further));
  if (list !== undefined) await context.cni.delList(list, attachment, { signal });
  else
    context.log.warn('network configuration is gone, nothing to detach with', {
      network: further.definition,
    });
  const rest = (sandbox.furtherNetworks ?? []).filter(({ ifName }) => ifName !== further.ifName);
  context.store.sandboxes.update(sandbox, { furtherNetworks: rest.length === 0 ? undefined : rest });
}

/** Where nothing is cached any more. */
async function currentList(context: RuntimeContext, { network, definition }: FurtherNetwork) {
  try {
    const { definitions } = await loadDefinitions(context.config.networkDir);
    const found = definitions.find(({ list }) => list?.name === network)?.list;
    return found ?? context.networks.find(network);
  } catch (error) {
    context.log.warn('read networks', { network: definition, error: errorText(error) });
    return undefined;
  }
}
