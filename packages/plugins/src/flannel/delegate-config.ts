import { CniError, type NetConf, type PluginRequest } from '@amphipod/cni';
import { readSubnetEnv, type SubnetEnv } from '@amphipod/fabric/client';
import { isCode } from '@amphipod/linux';
import { formatCidr } from '@amphipod/netlink';
import type { FlannelConfig } from './config.ts';

/**
 * Reads what the agent says of this node's subnet.
 * @throws CniError try-again-later when it says nothing yet, or nothing that can be used
 */
export function readSubnet(subnetFile: string): SubnetEnv {
  const notReady = (why: string, cause?: unknown) =>
    new CniError('try-again-later', `overlay not ready: ${why}`, { file: subnetFile, cause });
  let env: SubnetEnv | undefined;
  try {
    env = readSubnetEnv(subnetFile);
  } catch (error) {
    if (!isCode(error, 'invalid-config')) throw error;
    throw notReady((error as Error).message, error);
  }
  if (env === undefined) throw notReady(`there is no subnet file ${JSON.stringify(subnetFile)}`);
  return env;
}

/** The delegate's configuration, as flannel's plugin makes it: what the user says counts, the rest follows from the subnet. */
export function delegateConfig(
  { config }: Pick<PluginRequest, 'config'>,
  { delegate, ipam }: FlannelConfig,
  env: SubnetEnv,
): NetConf {
  const families = [env.ipv4, env.ipv6].filter((family) => family !== undefined);
  const routes = Array.isArray(ipam.routes) ? ipam.routes : [];
  return {
    // Where we do not masquerade the agent does.
    ipMasq: !env.ipMasq,
    mtu: env.mtu,
    ...(delegate.type === 'bridge' && { isGateway: true }),
    ...delegate,
    ...(config.runtimeConfig !== undefined && { runtimeConfig: config.runtimeConfig }),
    name: config.name,
    cniVersion: config.cniVersion,
    ipam: {
      ...ipam,
      type: ipam.type as string,
      ranges: families.map(({ subnet }) => [{ subnet: formatCidr(subnet) }]),
      routes: [...routes, ...families.map(({ network }) => ({ dst: formatCidr(network) }))],
    },
  };
}
