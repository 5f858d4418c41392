import { resolve } from 'node:path';
import { LoadRequest, type LoadResponse } from '../../gen/images.ts';
import { defineCommand, outputOption } from '../command.ts';
import { CliError, UsageError } from '../errors.ts';
import { outputFormat, printJson, shortId } from '../output.ts';
import { describeLoaded, loadImages } from './load.ts';

const stores: Record<string, { kind: string; root: string }> = {
  containerd: { kind: 'containerd', root: '/var/lib/containerd' },
  crio: { kind: 'containers-storage', root: '/var/lib/containers/storage' },
  podman: { kind: 'containers-storage', root: '/var/lib/containers/storage' },
};

export const command = defineCommand({
  name: 'image import',
  summary: 'Take images over from the store of containerd, CRI-O or podman, without the network',
  operands: '[IMAGE...]',
  arity: [0, Number.POSITIVE_INFINITY],
  options: {
    from: { type: 'string', value: 'RUNTIME', help: 'containerd, crio or podman' },
    root: {
      type: 'string',
      value: 'DIR',
      help: 'its root (/var/lib/containerd, /var/lib/containers/storage)',
    },
    namespace: { type: 'string', value: 'NAME', help: "containerd's namespace (k8s.io)" },
    quiet: { type: 'boolean', short: 'q', help: 'print the ids only' },
    output: { ...outputOption.output, help: 'id (default) or json' },
  },
  details: `Takes all images, or those that are named, with their names and digests. The other runtime may be running and keeps what it has; it is
read as files, on the machine of our runtime. An image that cannot be taken is told, and the others still come. Needs amphipod as the runtime.

Examples:
  amphipod image import --from containerd
  amphipod image import --from containerd --namespace moby docker.io/library/busybox:latest
  amphipod image import --from crio --root /srv/containers/storage`,
  async run(references, options, { client, stdout, stderr }) {
    const format = outputFormat(options.output, ['id', 'json']);
    const store = storeOf(options.from);
    if (options.namespace !== undefined && store.kind !== 'containerd')
      throw new UsageError('--namespace is for --from containerd');
    const cri = await client();
    const taken = new Map<string, LoadResponse>();
    let failures = 0;
    for (const reference of references.length === 0 ? [''] : references) {
      const request = LoadRequest.create({
        kind: store.kind,
        path: resolve(options.root ?? store.root),
        namespace: options.namespace ?? '',
        reference,
        keepGoing: true,
      });
      for await (const image of loadImages(cri, request)) {
        if (image.error !== '') {
          failures += 1;
          stderr.write(`amphipod: image import: ${image.names.join(', ') || 'an image'}: ${image.error}\n`);
          continue;
        }
        taken.set(image.id, image);
        const names = image.repoTags.join(', ') || image.repoDigests.join(', ') || 'an image without a name';
        if (!options.quiet) stderr.write(`imported ${names} (${shortId(image.id)})\n`);
        if (format === 'id') stdout.write(`${image.id}\n`);
      }
    }
    if (format === 'json') printJson(stdout, [...taken.values()].map(describeLoaded));
    if (failures > 0) throw new CliError(`${failures} of ${failures + taken.size} images could not be taken`);
    return 0;
  },
});

function storeOf(name: string | undefined): { kind: string; root: string } {
  const store = stores[name ?? ''];
  if (store !== undefined) return store;
  const what = name === undefined ? '--from is missing' : `--from "${name}"`;
  throw new UsageError(`${what}: expected containerd, crio or podman`);
}
