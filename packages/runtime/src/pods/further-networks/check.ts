import type { NetworkConfigList } from '@amphipod/cni';
import type { RuntimeContext } from '../../context.ts';
import { errorText } from '../../errors.ts';
import type { Sandbox } from '../../store/records.ts';
import { attachmentOf } from '../network.ts';
import { furtherAttachment } from './attach.ts';
import { loadDefinitions } from './definitions.ts';

/** What is wrong with a network of a pod, or with what is left of networks. */
export interface NetworkFault {
  podSandboxId: string;
  network: string;
  interface: string;
  error: string;
}

/** CHECK of every network of these pods, with the configuration that each attachment was made with. */
export async function checkNetworks(
  context: RuntimeContext,
  sandboxes: readonly Sandbox[],
  { signal }: { signal: AbortSignal },
): Promise<{ checked: number; faults: NetworkFault[] }> {
  const faults: NetworkFault[] = [];
  let checked = 0;
  for (const sandbox of sandboxes) {
    for (const { network, attachment, name } of attachmentsOf(context, sandbox)) {
      checked++;
      try {
        const list = context.cni.cachedConfig(network, attachment);
        if (list === undefined) throw new Error(`no configuration is kept of it`);
        await context.cni.checkList(list, attachment, { signal });
      } catch (error) {
        signal.throwIfAborted();
        const where = { podSandboxId: sandbox.id, network: name, interface: attachment.ifName };
        faults.push({ ...where, error: errorText(error) });
      }
    }
  }
  return { checked, faults };
}

function attachmentsOf(context: RuntimeContext, sandbox: Sandbox) {
  const first =
    sandbox.network === undefined
      ? []
      : [{ network: sandbox.network, name: sandbox.network, attachment: attachmentOf(context, sandbox) }];
  const further = (sandbox.furtherNetworks ?? []).map((each) => ({
    network: each.network,
    name: each.definition,
    attachment: furtherAttachment(context, sandbox, each),
  }));
  return [...first, ...further];
}

/** GC of every network that is configured, defined, or has an attachment: what none of the pods has is taken away. */
export async function collectNetworks(
  context: RuntimeContext,
  { signal }: { signal: AbortSignal },
): Promise<{ networks: string[]; faults: NetworkFault[] }> {
  const faults: NetworkFault[] = [];
  const lists = await knownLists(context);
  for (const list of lists.values()) {
    const validAttachments = context.store.sandboxes
      .list()
      .flatMap((sandbox) => attachmentsOf(context, sandbox))
      .filter(({ network }) => network === list.name)
      .map(({ attachment: { containerID, ifName } }) => ({ containerID, ifName }));
    try {
      await context.cni.gc(list, { validAttachments, signal });
    } catch (error) {
      signal.throwIfAborted();
      faults.push({ podSandboxId: '', network: list.name, interface: '', error: errorText(error) });
    }
  }
  return { networks: [...lists.keys()], faults };
}

/** By name; what is configured now goes before what attachments were made with. */
async function knownLists(context: RuntimeContext): Promise<Map<string, NetworkConfigList>> {
  const { definitions } = await loadDefinitions(context.config.networkDir);
  const configured = [...context.networks.lists, ...definitions.map(({ list }) => list)];
  const cached = context.cni.cachedAttachments().map(({ list }) => list);
  const lists = new Map<string, NetworkConfigList>();
  for (const list of [...configured, ...cached]) {
    if (list !== undefined && !lists.has(list.name)) lists.set(list.name, list);
  }
  return lists;
}
