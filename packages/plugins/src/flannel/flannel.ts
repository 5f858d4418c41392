import { CniError, type NetConf, type Plugin, type PluginRequest, specVersions } from '@amphipod/cni';
import { isCode } from '@amphipod/linux';
import type { PluginHost } from '../lib/host.ts';
import { readConfig } from './config.ts';
import { delegateConfig, readSubnet } from './delegate-config.ts';
import { findKept, keepConfig, listKept, removeKept, removeUnfinished } from './kept-config.ts';

/** Gives pods their place in an overlay: hands the node's subnet to another plugin; docs/plugins/flannel.md */
export const flannel: Plugin<PluginHost> = {
  type: 'flannel',
  about: 'CNI flannel plugin of Amphipod',
  versions: specVersions,
  async add(request) {
    const config = readConfig(request);
    const own = delegateConfig(request, config, readSubnet(config.subnetFile));
    keepConfig(config.dataDir, request, own);
    try {
      return await request.delegate(own.type, 'ADD', own);
    } catch (error) {
      await undo(request, config.dataDir, own);
      throw error;
    }
  },
  async del(request) {
    const { dataDir } = readConfig(request);
    removeUnfinished(dataDir, request);
    const kept = findKept(dataDir, request);
    if (kept === undefined) return;
    // A file that cannot be read says nothing of what was made: there is nothing to be done with it.
    if (kept.config !== undefined) await request.delegate(kept.config.type, 'DEL', kept.config);
    removeKept(kept);
  },
  async check(request) {
    const { dataDir } = readConfig(request);
    const kept = findKept(dataDir, request);
    if (kept?.config === undefined) {
      const { containerID, ifName } = request;
      throw new CniError(
        'internal',
        `no configuration of ${ifName} of container ${containerID} is kept in ${dataDir}`,
      );
    }
    await request.delegate(kept.config.type, 'CHECK', kept.config);
  },
  async status(request) {
    const own = statusConfig(request);
    await request.delegate(own.type, 'STATUS', own);
  },
  gc,
};

/** After a failed ADD: DEL of the delegate, then nothing needs to be kept. When that fails too, it stays for the runtime's DEL. */
async function undo(request: PluginRequest, dataDir: string, own: NetConf): Promise<void> {
  try {
    await request.delegate(own.type, 'DEL', own);
  } catch {
    return;
  }
  const kept = findKept(dataDir, request);
  if (kept !== undefined) removeKept(kept);
}

/** @throws CniError plugin-not-available while the overlay is not ready */
function statusConfig(request: PluginRequest): NetConf {
  const config = readConfig(request);
  try {
    return delegateConfig(request, config, readSubnet(config.subnetFile));
  } catch (error) {
    if (!isCode(error, 'try-again-later')) throw error;
    throw new CniError('plugin-not-available', (error as CniError).msg, { cause: error });
  }
}

/** Lets the delegate do its own, with each configuration that it was ever given for this network, then forgets what is stale. */
async function gc(request: PluginRequest): Promise<void> {
  const { dataDir } = readConfig(request);
  const { config, validAttachments: valid = [] } = request;
  const kept = listKept(dataDir).filter((one) => one.config?.name === config.name);
  const byText = new Map(kept.map((one) => [JSON.stringify(one.config), one.config!]));
  for (const own of byText.values()) await request.delegate(own.type, 'GC', own);
  for (const one of kept) {
    const isValid = valid.some(
      ({ containerID, ifName }) => containerID === one.containerID && ifName === one.ifName,
    );
    if (!isValid) removeKept(one);
  }
}
