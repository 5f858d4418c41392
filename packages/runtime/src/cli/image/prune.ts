import type { Image } from '../../gen/api.ts';
import type { CriClient } from '../client.ts';
import { defineCommand, outputOption } from '../command.ts';
import { imageSpec } from '../image-spec.ts';
import { formatBytes, outputFormat, printJson } from '../output.ts';
import { imagesAndContainers, nameOf, usedBytesOf } from './in-use.ts';

export const command = defineCommand({
  name: 'image prune',
  summary: 'Remove images that nothing uses',
  operands: '',
  arity: [0, 0],
  options: {
    all: { type: 'boolean', short: 'a', help: 'also those with a tag' },
    'dry-run': { type: 'boolean', help: 'only say what would go' },
    ...outputOption,
  },
  details: `Removes the images without a tag that no container uses, at once and without a question. Pinned images stay. With --all, every image
goes that no container uses: the next pod has to pull it again.

Examples:
  amphipod image prune
  amphipod image prune --all --dry-run`,
  async run(_operands, options, { client, stdout, stderr }) {
    const format = outputFormat(options.output);
    const cri = await client();
    const gone = (await imagesAndContainers(cri)).images
      .filter(({ image, containers }) => containers.length === 0 && !image.pinned)
      .filter(({ image }) => options.all || image.repoTags.length === 0)
      .map(({ image }) => image);
    const freedBytes = options['dry-run'] ? 0n : await removeAll(cri, gone);
    if (format === 'json') {
      const removed = gone.map(({ id, repoTags, repoDigests, size }) => ({
        id,
        repoTags,
        repoDigests,
        size,
      }));
      printJson(stdout, { removed, freedBytes });
      return 0;
    }
    for (const image of gone) stdout.write(`${nameOf(image)}\n`);
    const verb = options['dry-run']
      ? 'would be removed'
      : `removed, ${formatBytes(freedBytes)} are free again`;
    stderr.write(`${gone.length} images ${verb}\n`);
    return 0;
  },
});

/** @returns how much less the file systems of images hold then */
async function removeAll(cri: CriClient, images: readonly Image[]): Promise<bigint> {
  const before = await usedBytes(cri);
  for (const { id } of images) await cri.images.removeImage({ image: imageSpec(id) });
  return before - (await usedBytes(cri));
}

async function usedBytes({ images }: CriClient): Promise<bigint> {
  const { imageFilesystems } = await images.imageFsInfo({});
  return usedBytesOf(imageFilesystems) ?? 0n;
}
