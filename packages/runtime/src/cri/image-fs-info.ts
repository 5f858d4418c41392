import { nowNs } from '../clock.ts';
import type { ImageFsInfoRequest, ImageFsInfoResponse } from '../gen/api.ts';
import type { Handler } from './call.ts';

/** ImageFsInfo: from running totals, no walk over the disk. */
export const imageFsInfo: Handler<ImageFsInfoRequest, ImageFsInfoResponse> = ({ images, config }) => {
  const { usedBytes, inodesUsed } = images.usage();
  return {
    imageFilesystems: [
      {
        timestamp: nowNs(),
        fsId: { mountpoint: config.root },
        usedBytes: { value: usedBytes },
        inodesUsed: { value: inodesUsed },
      },
    ],
    containerFilesystems: [],
  };
};
