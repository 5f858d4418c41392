import {
  type Attachment,
  isJsonObject,
  type JsonObject,
  type NetworkConfigList,
  parseJson,
  parseNetworkConfigList,
  stringifyJson,
} from '@amphipod/cni';
import { isCode } from '@amphipod/linux';
import type { RuntimeContext } from '../../context.ts';
import { CriError } from '../../errors.ts';
import type { FurtherNetwork, Sandbox } from '../../store/records.ts';
import { firstInterface, podAttachment } from '../network.ts';
import { allocatedDevices, pickDevice } from './choose-device.ts';
import { leadDefaultRoutes } from './default-route.ts';
import {
  findDefinition,
  type LoadedDefinitions,
  loadDefinitions,
  type NetworkDefinition,
} from './definitions.ts';
import { NETWORKS_ANNOTATION, type NetworkSelection, parseSelections } from './selection.ts';

/** Attaches a new pod to the networks that its annotation names. @throws CriError; CniError */
export async function attachNamedNetworks(
  context: RuntimeContext,
  sandbox: Sandbox,
  options: { signal: AbortSignal },
): Promise<void> {
  const text = sandbox.config.annotations[NETWORKS_ANNOTATION] ?? '';
  if (text !== '') await attachFurtherNetworks(context, sandbox, { text, ...options });
}

/**
 * Attaches a pod to networks, in their order. What is wrong with any of the names is found out before the first is attached; when
 * one fails the caller detaches those before it. @throws CriError; CniError
 */
export async function attachFurtherNetworks(
  context: RuntimeContext,
  sandbox: Sandbox,
  { text, signal }: { text: string; signal: AbortSignal },
): Promise<void> {
  const taken = ['lo', firstInterface, ...(sandbox.furtherNetworks ?? []).map(({ ifName }) => ifName)];
  const namespace = sandbox.config.metadata?.namespace || 'default';
  const selections = parseSelections(text, { namespace, taken });
  const loaded = await loadDefinitions(context.config.networkDir);
  const wanted = selections.map((selection) => ({ selection, ...resolve(context, loaded, selection) }));
  for (const { selection, definition, list } of wanted) {
    signal.throwIfAborted();
    await attachOne(context, sandbox, { selection, definition, list, signal });
  }
}

function resolve(
  context: RuntimeContext,
  loaded: LoadedDefinitions,
  selection: NetworkSelection,
): { definition: NetworkDefinition; list: NetworkConfigList } {
  const definition = findDefinition(loaded, selection, context.config.networkDir);
  const list = definition.list ?? context.networks.find(definition.name);
  if (list !== undefined) return { definition, list };
  throw new CriError(
    'unavailable',
    `find network "${selection.namespace}/${selection.name}": ${definition.file} has no spec.config, and ${context.config.cniConfDir} no network "${definition.name}"`,
  );
}

interface Wanted {
  selection: NetworkSelection;
  definition: NetworkDefinition;
  list: NetworkConfigList;
  signal: AbortSignal;
}

async function attachOne(
  context: RuntimeContext,
  sandbox: Sandbox,
  { selection, definition, list: plain, signal }: Wanted,
): Promise<void> {
  const { store } = context;
  const further = describe(selection, plain);
  const allocated = await allocatedDevices(context, sandbox, definition);
  const deviceId = selection.deviceId ?? pickDevice(context, definition, allocated);
  if (deviceId !== undefined) {
    further.deviceId = deviceId;
    further.capabilityArgs.deviceID = deviceId;
  }
  if (definition.resourceName !== undefined) further.resourceName = definition.resourceName;
  const list = adapt(plain, { deviceId, cniArgs: selection.cniArgs });
  const before = sandbox.furtherNetworks ?? [];
  // From here on an undo is due, also when the daemon dies in the middle; and the device is taken.
  store.sandboxes.update(sandbox, { furtherNetworks: [...before, further] });
  try {
    await context.cni.addList(list, furtherAttachment(context, sandbox, further), { signal });
  } catch (error) {
    // Nothing was begun, and without the plugin nothing could be undone.
    if (isCode(error, 'plugin-not-found')) store.sandboxes.update(sandbox, { furtherNetworks: before });
    throw error;
  }
  if (further.defaultRoute !== undefined) leadDefaultRoutes(context, sandbox, further);
  store.sandboxes.update(sandbox, { furtherNetworks: [...before, { ...further, state: 'attached' }] });
}

/** What is asked for becomes arguments by capability; what no plugin of the network declares goes into CNI_ARGS. */
function describe(selection: NetworkSelection, list: NetworkConfigList): FurtherNetwork {
  const { namespace, name, ifName, ips, mac, defaultRoute, portMappings, bandwidth } = selection;
  const declares = (capability: string) =>
    list.plugins.some(({ capabilities }) => isJsonObject(capabilities) && capabilities[capability] === true);
  const args: FurtherNetwork['args'] = [];
  if (mac !== undefined && !declares('mac')) args.push(['MAC', mac]);
  if (ips !== undefined && !declares('ips')) args.push(['IP', ips.join(',')]);
  return {
    ...{ state: 'attaching', definition: `${namespace}/${name}`, network: list.name, ifName, args },
    capabilityArgs: {
      ...(ips !== undefined && { ips }),
      ...(mac !== undefined && { mac }),
      ...(portMappings !== undefined && { portMappings }),
      ...(bandwidth !== undefined && { bandwidth }),
    },
    ...(defaultRoute !== undefined && { defaultRoute }),
  };
}

/** The list with the device as its first plugin's, and arguments for all; it is cached so, for DEL. */
function adapt(
  list: NetworkConfigList,
  { deviceId, cniArgs }: { deviceId: string | undefined; cniArgs: JsonObject | undefined },
): NetworkConfigList {
  if (deviceId === undefined && cniArgs === undefined) return list;
  const object = parseJson(Buffer.from(list.bytes).toString()) as JsonObject;
  const plugins = list.plugins.map((plugin, i) => {
    const args = isJsonObject(plugin.args) ? plugin.args : {};
    const cni = isJsonObject(args.cni) ? args.cni : {};
    return {
      ...plugin,
      ...(i === 0 && deviceId !== undefined && { deviceID: deviceId }),
      ...(cniArgs !== undefined && { args: { ...args, cni: { ...cni, ...cniArgs } } }),
    };
  });
  return parseNetworkConfigList(stringifyJson({ ...object, plugins }));
}

/** The attachment as it was made. */
export function furtherAttachment(
  context: RuntimeContext,
  sandbox: Sandbox,
  { ifName, args, capabilityArgs }: FurtherNetwork,
): Attachment {
  const pod = podAttachment(context, sandbox);
  return { ...pod, ifName, args: [...pod.args, ...args], capabilityArgs };
}
