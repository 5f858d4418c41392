import { ContainerState, type Image } from '../../gen/api.ts';
import type { CriClient } from '../client.ts';
import { defineCommand, outputOption } from '../command.ts';
import { imageSpec } from '../image-spec.ts';
import { formatBytes, outputFormat, printJson, printTable, shortId } from '../output.ts';
import { type LayerInfo, layersOf } from './image-info.ts';
import { imagesAndContainers, nameOf, usedBytesOf } from './in-use.ts';

export const command = defineCommand({
  name: 'image df',
  summary: 'Show the disk space that images and containers take',
  operands: '',
  arity: [0, 0],
  options: {
    verbose: {
      type: 'boolean',
      short: 'v',
      help: 'also each image: what it shares with others, and what it has alone',
    },
    ...outputOption,
  },
  details: `Images are counted with their blobs and unpacked layers, each layer once. Reclaimable is what "amphipod image prune --all" frees.
Another runtime tells the sizes of the file systems only.

Examples:
  amphipod image df
  amphipod image df -v`,
  async run(_operands, options, { client, stdout }) {
    const format = outputFormat(options.output);
    const usage = await readUsage(await client());
    if (format === 'json') {
      printJson(stdout, usage);
      return 0;
    }
    const bytes = (value: bigint | number | undefined) => (value === undefined ? '-' : formatBytes(value));
    const { images, containers } = usage;
    printTable(
      stdout,
      ['TYPE', 'TOTAL', 'ACTIVE', 'SIZE', 'RECLAIMABLE'],
      [
        [
          'images',
          `${images.total}`,
          `${images.active}`,
          bytes(images.usedBytes),
          bytes(images.reclaimableBytes),
        ],
        ['containers', `${containers.total}`, `${containers.active}`, bytes(containers.usedBytes), '-'],
      ],
    );
    if (options.verbose) {
      stdout.write('\n');
      const rows = images.each.map(({ name, id, sharedBytes, uniqueBytes, containers: users }) => [
        name,
        shortId(id),
        bytes(sharedBytes),
        bytes(uniqueBytes),
        `${users}`,
      ]);
      printTable(stdout, ['IMAGE', 'IMAGE ID', 'SHARED', 'ALONE', 'CONTAINERS'], rows);
    }
    return 0;
  },
});

/** An image with everything that it has on disk, by name: blobs and layers. */
interface Counted {
  image: Image;
  users: number;
  parts: Map<string, number>;
}

async function readUsage(cri: CriClient) {
  const [{ images, containers }, filesystems] = await Promise.all([
    imagesAndContainers(cri),
    cri.images.imageFsInfo({}),
  ]);
  const counted: Counted[] = [];
  for (const { image, containers: users } of images) {
    const { info } = await cri.images.imageStatus({ image: imageSpec(image.id), verbose: true });
    counted.push({ image, users: users.length, parts: partsOf(image, layersOf(info)) });
  }
  const isKnown = counted.every(({ parts }) => parts.size > 0);
  const holders = new Map<string, Counted[]>();
  for (const entry of counted) {
    for (const part of entry.parts.keys()) holders.set(part, [...(holders.get(part) ?? []), entry]);
  }
  const sum = ({ parts }: Counted, isWanted: (all: Counted[]) => boolean) =>
    [...parts].reduce((total, [part, bytes]) => total + (isWanted(holders.get(part)!) ? bytes : 0), 0);
  const stays = ({ users, image }: Counted) => users > 0 || image.pinned;
  const reclaimable = new Map(
    counted.flatMap(({ parts }) => [...parts].filter(([part]) => !holders.get(part)!.some(stays))),
  );
  return {
    images: {
      total: counted.length,
      active: counted.filter(({ users }) => users > 0).length,
      usedBytes: usedBytesOf(filesystems.imageFilesystems),
      reclaimableBytes: isKnown ? [...reclaimable.values()].reduce((a, b) => a + b, 0) : undefined,
      each: counted.map((entry) => ({
        name: nameOf(entry.image),
        id: entry.image.id,
        sharedBytes: isKnown ? sum(entry, (all) => all.length > 1) : undefined,
        uniqueBytes: isKnown ? sum(entry, (all) => all.length === 1) : undefined,
        containers: entry.users,
      })),
    },
    containers: {
      total: containers.length,
      active: containers.filter(({ state }) => state === ContainerState.CONTAINER_RUNNING).length,
      usedBytes: usedBytesOf(filesystems.containerFilesystems),
    },
  };
}

/** Empty when the runtime does not tell the sizes of layers. */
function partsOf({ id }: Image, layers: readonly LayerInfo[]): Map<string, number> {
  const parts = new Map<string, number>();
  for (const { digest, sizeBytes, chainId = '', diskBytes } of layers) {
    if (sizeBytes === undefined || diskBytes === undefined) return new Map();
    parts.set(digest, sizeBytes);
    parts.set(`layer ${chainId}`, diskBytes);
  }
  if (layers.length === 0) parts.set(id, 0);
  return parts;
}
