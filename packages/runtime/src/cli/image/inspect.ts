import type { Writable } from 'node:stream';
import type { Image } from '../../gen/api.ts';
import { defineCommand, outputOption } from '../command.ts';
import { CliError } from '../errors.ts';
import { imageSpec } from '../image-spec.ts';
import { formatBytes, outputFormat, printJson, printTable, shortId } from '../output.ts';
import { type ImageInfo, type LayerInfo, layersOf, parseImageInfo } from './image-info.ts';

export const command = defineCommand({
  name: 'image inspect',
  summary: 'Show layers, sizes, configuration and history of images',
  operands: 'IMAGE...',
  arity: [1, Number.POSITIVE_INFINITY],
  options: outputOption,
  details: `Another runtime tells less: containerd has no sizes of layers.

Examples:
  amphipod image inspect docker.io/library/busybox:latest
  amphipod image inspect -o json 3f57d9401f8d`,
  async run(references, options, { client, stdout }) {
    const format = outputFormat(options.output);
    const { images } = await client();
    const found = [];
    for (const reference of references) {
      const { image, info } = await images.imageStatus({ image: imageSpec(reference), verbose: true });
      if (image === undefined) throw new CliError(`no such image "${reference}"`);
      found.push(describe(image, info));
    }
    if (format === 'json') printJson(stdout, found);
    else
      found.forEach((image, i) => {
        if (i > 0) stdout.write('\n');
        print(stdout, image);
      });
    return 0;
  },
});

function describe(image: Image, info: Record<string, string>) {
  const { manifestDigest, imageSpec: spec = {} } = parseImageInfo(info);
  const { id, repoTags, repoDigests, size: sizeBytes, pinned, spec: named } = image;
  const layers = layersOf(info);
  return {
    id,
    repoTags,
    repoDigests,
    sizeBytes,
    diskBytes: layers.every(({ diskBytes }) => diskBytes === undefined)
      ? undefined
      : layers.reduce((sum, { diskBytes = 0 }) => sum + diskBytes, 0),
    pinned,
    manifestDigest,
    platform: [spec.os, spec.architecture, spec.variant].filter(Boolean).join('/') || undefined,
    created: spec.created,
    author: spec.author,
    annotations: named?.annotations,
    config: spec.config,
    layers,
    history: spec.history ?? [],
  };
}

type Described = ReturnType<typeof describe>;

function print(out: Writable, image: Described): void {
  const { config = {} } = image;
  const text = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));
  const rows: [string, string | undefined][] = [
    ['id', image.id],
    ...image.repoTags.map((tag): [string, string] => ['tag', tag]),
    ...image.repoDigests.map((digest): [string, string] => ['digest', digest]),
    ['platform', image.platform],
    ['created', image.created],
    [
      'size',
      `${formatBytes(image.sizeBytes)} to pull${image.diskBytes === undefined ? '' : `, ${formatBytes(image.diskBytes)} unpacked`}`,
    ],
    ['pinned', image.pinned ? 'yes' : undefined],
    ...Object.entries(config).map(([key, value]): [string, string] => [key, text(value)]),
  ];
  printTable(
    out,
    ['PROPERTY', 'VALUE'],
    rows.filter((row): row is [string, string] => row[1] !== undefined),
  );
  if (image.layers.length > 0) {
    out.write('\n');
    printTable(out, ['LAYER', 'SIZE', 'UNPACKED', 'MADE BY'], layerRows(image.layers, image.history));
  }
  const empty = image.history.filter((step) => step.empty_layer);
  if (empty.length > 0) {
    out.write('\n');
    printTable(
      out,
      ['HISTORY WITHOUT A LAYER'],
      empty.map((step) => [oneLine(step.created_by)]),
    );
  }
}

function layerRows(
  layers: readonly LayerInfo[],
  history: NonNullable<NonNullable<ImageInfo['imageSpec']>['history']>,
): string[][] {
  const steps = history.filter((step) => !step.empty_layer);
  return layers.map(({ digest, diffId, sizeBytes, diskBytes }, i) => [
    shortId(digest || diffId),
    sizeBytes === undefined ? '-' : formatBytes(sizeBytes),
    diskBytes === undefined ? '-' : formatBytes(diskBytes),
    oneLine(steps[i]?.created_by),
  ]);
}

function oneLine(text = ''): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > 80 ? `${line.slice(0, 77)}...` : line;
}
