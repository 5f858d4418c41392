import { defineCommand, outputOption } from '../command.ts';
import { UsageError } from '../errors.ts';
import { imageSpec } from '../image-spec.ts';
import { outputFormat, printJson } from '../output.ts';
import { credentialsOption, parseCredentials } from './credentials.ts';
import { layersOf } from './image-info.ts';
import { type ProgressMode, pullImage } from './pull-image.ts';

export const command = defineCommand({
  name: 'pull',
  summary: 'Pull an image from a registry',
  operands: 'IMAGE',
  arity: [1, 1],
  options: {
    ...credentialsOption,
    progress: {
      type: 'string',
      value: 'MODE',
      help: 'bars (on a terminal), plain, json (a line for each change) or none',
    },
    quiet: { type: 'boolean', short: 'q', help: 'print the id only' },
    output: { ...outputOption.output, help: 'id (default) or json' },
  },
  details: `Prints the id of the image on stdout, progress on stderr: a line for each layer, and a total.

Examples:
  amphipod pull registry.k8s.io/pause:3.10
  amphipod pull --creds me:secret registry.example.com/app:1.2
  amphipod pull -q -o json registry.k8s.io/pause:3.10`,
  async run([reference = ''], options, { client, stdout, stderr }) {
    const format = outputFormat(options.output, ['id', 'json']);
    const auth = options.creds === undefined ? undefined : parseCredentials(options.creds);
    const progress = options.quiet ? 'none' : progressMode(options.progress, stderr.isTTY ?? false);
    const cri = await client();
    const startMs = performance.now();
    const id = await pullImage(cri, { reference, stderr, progress, ...(auth && { auth }) });
    if (format === 'id') {
      stdout.write(`${id}\n`);
      return 0;
    }
    const seconds = Number(((performance.now() - startMs) / 1000).toFixed(3));
    const { image, info } = await cri.images.imageStatus({ image: imageSpec(id), verbose: true });
    const { repoTags, repoDigests, size: sizeBytes } = image ?? {};
    printJson(stdout, { reference, id, seconds, repoTags, repoDigests, sizeBytes, layers: layersOf(info) });
    return 0;
  },
});

function progressMode(value: string | undefined, isTty: boolean): ProgressMode {
  switch (value) {
    case undefined:
      return isTty ? 'bars' : 'plain';
    case 'bars':
    case 'plain':
    case 'json':
    case 'none':
      return value;
    default:
      throw new UsageError(`--progress "${value}": expected bars, plain, json or none`);
  }
}
