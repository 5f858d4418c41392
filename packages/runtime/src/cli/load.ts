import { resolve } from 'node:path';
import { defineCommand } from './command.ts';
import { detectArchive } from './detect-archive.ts';
import { UsageError } from './errors.ts';
import { imageSpec } from './image-spec.ts';
import { shortId } from './output.ts';

export const command = defineCommand({
  name: 'load',
  summary: 'Load an image from an archive or an OCI layout directory',
  operands: 'FILE|DIR',
  arity: [1, 1],
  options: {
    name: { type: 'string', short: 'n', value: 'REFERENCE', help: 'name for an image of an OCI archive' },
    quiet: { type: 'boolean', short: 'q', help: 'print the id only' },
  },
  details: `Knows tar files from "docker save", "skopeo copy ... oci-archive:FILE" and "podman save", and directories with an
oci-layout file. The runtime reads the file itself, so it must be on its machine; needs amphipod as the runtime.

Examples:
  amphipod load web.tar
  amphipod load --name example.com/web:1 ./layout`,
  async run([file = ''], options, { client, stdout, stderr }) {
    const path = resolve(file);
    // A colon ends the path in the name of a transport, and there is no way to quote it.
    if (path.includes(':')) throw new UsageError(`"${path}" has a colon in it: give it another name`);
    const kind = await detectArchive(path);
    if (options.name !== undefined && kind === 'docker-archive') {
      throw new UsageError(`"${file}" is a docker archive, which names its images itself`);
    }
    const source = `${kind}:${path}${options.name === undefined ? '' : `:${options.name}`}`;
    const { images } = await client();
    const { imageRef } = await images.pullImage(
      { image: imageSpec(source), auth: undefined, sandboxConfig: undefined },
      { timeoutMs: 0 },
    );
    const { image } = await images.imageStatus({ image: imageSpec(imageRef), verbose: false });
    const names = image?.repoTags.join(', ') || 'an image without a name';
    if (!options.quiet) stderr.write(`loaded ${names} (${shortId(imageRef)})\n`);
    stdout.write(`${imageRef}\n`);
    return 0;
  },
});
