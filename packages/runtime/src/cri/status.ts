import type { NetworkConfigList } from '@amphipod/cni';
import type { RuntimeContext } from '../context.ts';
import type { RuntimeCondition, StatusRequest, StatusResponse } from '../gen/api.ts';
import type { Handler } from './call.ts';

/** Status: conditions RuntimeReady and NetworkReady, the runtime handlers and, verbose, settings and running pulls. */
export const status: Handler<StatusRequest, StatusResponse> = (context, { verbose }) => {
  const usable = [...context.runtimes.byName].filter(([, { problem }]) => problem === undefined);
  return {
    status: {
      conditions: [
        condition('RuntimeReady', undefined),
        networkCondition(context),
        streamingCondition(context),
      ],
    },
    runtimeHandlers: [['', context.runtimes.default] as const, ...usable].map(([name, { features }]) => ({
      name,
      features: {
        recursiveReadOnlyMounts: features.recursiveReadOnlyMounts,
        userNamespaces: features.userNamespaces.problem === undefined,
      },
    })),
    features: { supplementalGroupsPolicy: true, userNamespacesHostNetwork: false, mountOptions: true },
    info: verbose ? verboseInfo(context) : {},
  };
};

function networkCondition(context: RuntimeContext): RuntimeCondition {
  const list = context.networks.default;
  if (list !== undefined) return condition('NetworkReady', missingPlugin(context, list));
  const problems = context.networks.errors.map((error) => error.message);
  const message = problems.join('; ') || `no network configuration in ${context.config.cniConfDir}`;
  return condition('NetworkReady', ['NetworkPluginNotReady', message]);
}

/** The file of the network may come before the programs that it names (field case CNI-12). */
function missingPlugin(
  { cni }: RuntimeContext,
  list: NetworkConfigList,
): [reason: string, message: string] | undefined {
  try {
    cni.findPlugins(list);
    return undefined;
  } catch (error) {
    return ['NetworkPluginNotReady', (error as Error).message];
  }
}

/** One of our own: the kubelet looks at the first two only, and a node is not lost without exec. */
function streamingCondition({ streaming }: RuntimeContext): RuntimeCondition {
  const { problem } = streaming;
  return condition('StreamingReady', problem === undefined ? undefined : ['StreamingServerDown', problem]);
}

function condition(type: string, problem: [reason: string, message: string] | undefined): RuntimeCondition {
  const [reason = '', message = ''] = problem ?? [];
  return { type, status: problem === undefined, reason, message };
}

function verboseInfo(context: RuntimeContext): Record<string, string> {
  const network = context.networks.default;
  return {
    daemon: JSON.stringify(context.self()),
    config: JSON.stringify(context.config),
    streaming: JSON.stringify({ url: context.streaming.origin, problem: context.streaming.problem }),
    pulls: JSON.stringify(context.pulls.list()),
    network: JSON.stringify({
      default: network?.name,
      file: network?.file,
      problems: context.networks.errors.map((error) => error.message),
      calls: context.cni.callsUnderWay(),
    }),
    runtimes: JSON.stringify([...context.runtimes.byName.values()]),
    cgroups: JSON.stringify({ version: context.cgroups.version, driver: context.cgroupDriver }),
  };
}
