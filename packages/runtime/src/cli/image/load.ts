import { resolve } from 'node:path';
import { ImagesService, LoadRequest, type LoadResponse } from '../../gen/images.ts';
import type { CriClient } from '../client.ts';
import { defineCommand, outputOption } from '../command.ts';
import { UsageError } from '../errors.ts';
import { outputFormat, printJson, shortId } from '../output.ts';

export const command = defineCommand({
  name: 'load',
  summary: 'Load images from an archive or an OCI layout directory',
  operands: '[FILE|DIR|-]',
  arity: [0, 1],
  options: {
    name: {
      type: 'string',
      short: 'n',
      value: 'REFERENCE',
      help: 'name for the only image, or of the one to take',
    },
    quiet: { type: 'boolean', short: 'q', help: 'print the ids only' },
    output: { ...outputOption.output, help: 'id (default) or json' },
  },
  details: `Knows archives from "amphipod save", "docker save", "podman save" and "skopeo copy ... oci-archive:FILE", compressed or not, and
directories with an oci-layout file. "-" or nothing reads an archive from the standard input. The runtime reads a file itself, so it must
be on its machine; needs amphipod as the runtime.

Examples:
  amphipod load web.tar
  amphipod load --name example.com/web:1 ./layout
  ssh build podman save web | amphipod load`,
  async run([file = '-'], options, { client, stdout, stderr }) {
    const format = outputFormat(options.output, ['id', 'json']);
    if (file === '-' && process.stdin.isTTY)
      throw new UsageError('no file is named, and the standard input is a terminal');
    const first = LoadRequest.create({
      kind: 'archive',
      path: file === '-' ? '' : resolve(file),
      reference: options.name ?? '',
    });
    const loaded: LoadResponse[] = [];
    for await (const image of loadImages(await client(), first, file === '-' ? process.stdin : undefined)) {
      loaded.push(image);
      const names = image.repoTags.join(', ') || 'an image without a name';
      if (!options.quiet) stderr.write(`loaded ${names} (${shortId(image.id)})\n`);
      if (format === 'id') stdout.write(`${image.id}\n`);
    }
    if (format === 'json') printJson(stdout, loaded.map(describeLoaded));
    return 0;
  },
});

/** Each image that the runtime takes in, or says why not. */
export function loadImages(
  client: CriClient,
  first: LoadRequest,
  archive?: AsyncIterable<Buffer>,
): AsyncIterable<LoadResponse> {
  return client.stream(ImagesService.load, requestsOf(first, archive));
}

async function* requestsOf(
  first: LoadRequest,
  archive: AsyncIterable<Buffer> | undefined,
): AsyncGenerator<LoadRequest> {
  yield first;
  for await (const data of archive ?? []) yield LoadRequest.create({ data });
}

export function describeLoaded({ id, repoTags, repoDigests, sizeBytes }: LoadResponse) {
  return { id, repoTags, repoDigests, sizeBytes };
}
