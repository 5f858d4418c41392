import type { Image } from '../../gen/api.ts';
import { defineCommand, outputOption } from '../command.ts';
import { formatBytes, outputFormat, printJson, printTable, shortId } from '../output.ts';

export const command = defineCommand({
  name: 'image ls',
  summary: 'List images',
  operands: '',
  arity: [0, 0],
  options: {
    ...outputOption,
    quiet: { type: 'boolean', short: 'q', help: 'print ids only' },
  },
  details: `Examples:
  amphipod images
  amphipod image ls -o json`,
  async run(_operands, options, { client, stdout }) {
    const format = outputFormat(options.output);
    const { images: service } = await client();
    const { images } = await service.listImages({ filter: undefined });
    images.sort((a, b) => firstName(a).localeCompare(firstName(b)));
    if (options.quiet) for (const image of images) stdout.write(`${image.id}\n`);
    else if (format === 'json') printJson(stdout, images.map(describe));
    else printTable(stdout, ['REPOSITORY', 'TAG', 'IMAGE ID', 'SIZE'], images.flatMap(tableRows));
    return 0;
  },
});

function firstName(image: Image): string {
  return image.repoTags[0] ?? image.repoDigests[0] ?? '';
}

function describe({ id, repoTags, repoDigests, size, pinned, uid, username }: Image) {
  return {
    id,
    repoTags,
    repoDigests,
    size,
    pinned,
    user: uid === undefined ? username || undefined : uid.value,
  };
}

function tableRows(image: Image): string[][] {
  const names = image.repoTags.map(splitTag);
  if (names.length === 0) names.push([image.repoDigests[0]?.split('@')[0] ?? '<none>', '<none>']);
  return names.map((name) => [...name, shortId(image.id), formatBytes(image.size)]);
}

// The tag follows the last colon, but a colon before a slash belongs to a port.
function splitTag(name: string): [repository: string, tag: string] {
  const colon = name.lastIndexOf(':');
  return colon > name.lastIndexOf('/') ? [name.slice(0, colon), name.slice(colon + 1)] : [name, '<none>'];
}
