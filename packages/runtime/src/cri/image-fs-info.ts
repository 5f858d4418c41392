import { nowNs } from '../clock.ts';
import type { RuntimeContext } from '../context.ts';
import type { FilesystemUsage, ImageFsInfoRequest, ImageFsInfoResponse } from '../gen/api.ts';
import { askForLayers, writableLayer } from '../stats/container-stats.ts';
import type { Handler } from './call.ts';

/** ImageFsInfo: images from running totals, writable layers from their last measurement. Both are on one file system. */
export const imageFsInfo: Handler<ImageFsInfoRequest, ImageFsInfoResponse> = async (context) => {
  const { usedBytes, inodesUsed } = context.images.usage();
  const imageUsage: FilesystemUsage = {
    timestamp: nowNs(),
    fsId: { mountpoint: context.config.root },
    usedBytes: { value: usedBytes },
    inodesUsed: { value: inodesUsed },
  };
  return { imageFilesystems: [imageUsage], containerFilesystems: [await containerUsage(context)] };
};

async function containerUsage(context: RuntimeContext): Promise<FilesystemUsage> {
  const containers = context.store.containers.list();
  await askForLayers(context, containers);
  const sum = (of: (usage: FilesystemUsage) => bigint) =>
    containers.reduce((total, container) => {
      const usage = writableLayer(context, container);
      return usage === undefined ? total : total + of(usage);
    }, 0n);
  return {
    timestamp: nowNs(),
    fsId: { mountpoint: context.config.root },
    usedBytes: { value: sum(({ usedBytes }) => usedBytes?.value ?? 0n) },
    inodesUsed: { value: sum(({ inodesUsed }) => inodesUsed?.value ?? 0n) },
  };
}
