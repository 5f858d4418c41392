import { resolve } from 'node:path';
import {
  CniError,
  type Plugin,
  type PluginRequest,
  type Result,
  specVersions,
  stringifyJson,
} from '@amphipod/cni';
import { Attempts } from '../lib/attempts.ts';
import { checkFailure } from '../lib/check-interface.ts';
import { requirePrevResult } from '../lib/prev-result.ts';
import { readConfig } from './config.ts';
import { leaseDir, readLease, readLeases, removeLease } from './lease-record.ts';
import { callDaemon, type DhcpMethod, NoDaemonError, pingDaemon } from './rpc-client.ts';
import { decodeResultBody } from './rpc-messages.ts';
import { sendRelease } from './send-release.ts';

/** Has a daemon get addresses from a DHCP server; docs/plugins/dhcp.md */
export const dhcp: Plugin<unknown> = {
  type: 'dhcp',
  about: 'CNI dhcp plugin of Amphipod',
  versions: specVersions,

  async add(request) {
    return await allocate(request);
  },

  async del(request) {
    await release(request, request);
  },

  async check(request) {
    // The reference's daemon has no question for this; ours and newer ones answer with the lease that is there.
    const { ips: now = [] } = await allocate(request);
    const { ips = [] } = requirePrevResult(request);
    const missing = now.find(({ address }) => !ips.some((ip) => ip.address === address));
    if (missing !== undefined) {
      throw checkFailure(`dhcp: the lease is for ${missing.address}, which is not in the previous result`);
    }
  },

  async status({ config, signal }) {
    const { socketPath } = readConfig({ config, args: '' });
    try {
      await pingDaemon(socketPath, signal);
    } catch (cause) {
      const { msg, details } = cause as CniError;
      throw new CniError('plugin-not-available', msg, { details, cause });
    }
  },

  async gc(request) {
    const { socketPath, network } = readConfig({ ...request, args: '' });
    const { validAttachments = [] } = request;
    const attempts = new Attempts();
    // What a daemon of this project holds; the reference's tells nobody.
    for (const lease of readLeases(leaseDir(socketPath))) {
      const isValid = validAttachments.some(
        ({ containerID, ifName }) => containerID === lease.containerID && ifName === lease.ifName,
      );
      if (lease.network === network && !isValid) await attempts.run(() => release(request, lease));
    }
    attempts.throwIfAny();
  },
};

async function allocate(request: PluginRequest): Promise<Result> {
  // The daemon reads it again; a mistake shall be named by its key.
  const { socketPath } = readConfig(request);
  return decodeResultBody(await call(socketPath, 'DHCP.Allocate', request));
}

type LeaseHolder = Pick<PluginRequest, 'containerID' | 'netns' | 'ifName'>;

/** Without a daemon what one has left is given back from here, and the next one does not go on with it. */
async function release(request: PluginRequest, holder: LeaseHolder): Promise<void> {
  const { socketPath, network } = readConfig({ ...request, args: '' });
  try {
    await call(socketPath, 'DHCP.Release', { ...request, ...pick(holder) });
  } catch (error) {
    if (!(error instanceof NoDaemonError)) throw error;
    const attachment = { ...pick(holder), network };
    const lease = readLease(leaseDir(socketPath), attachment);
    if (lease === undefined) return;
    try {
      await sendRelease(lease);
    } catch {
      // The server takes the address back when the lease ends.
    }
    removeLease(leaseDir(socketPath), attachment);
  }
}

function pick({ containerID, netns, ifName }: LeaseHolder): LeaseHolder {
  return { containerID, netns, ifName };
}

async function call(
  socketPath: string,
  method: DhcpMethod,
  { containerID, netns, ifName, args, config, signal }: PluginRequest,
): ReturnType<typeof callDaemon> {
  return await callDaemon(socketPath, method, {
    args: {
      containerID,
      // The daemon may run in another directory.
      netns: resolve(netns),
      ifName,
      args,
      path: '',
      stdinData: stringifyJson(config),
    },
    signal,
  });
}
