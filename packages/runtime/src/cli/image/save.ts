import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ImagesService, SaveRequest, type SaveResponse } from '../../gen/images.ts';
import { defineCommand } from '../command.ts';
import { CliError, UsageError } from '../errors.ts';

const formats: Record<string, string> = { oci: 'oci-archive', docker: 'docker-archive' };

export const command = defineCommand({
  name: 'save',
  summary: 'Write images to an archive',
  operands: 'IMAGE...',
  arity: [1, Number.POSITIVE_INFINITY],
  options: {
    output: { type: 'string', short: 'o', value: 'FILE', help: 'where to (the standard output)' },
    format: {
      type: 'string',
      value: 'FORMAT',
      help: 'oci (default): an OCI layout; docker: as old versions of docker wrote it',
    },
  },
  details: `An image that is named by a tag gets that name in the archive, one that is named by its id gets all it has. What is written can be
loaded by amphipod, docker, podman, skopeo and ctr; needs amphipod as the runtime.

Examples:
  amphipod save -o web.tar registry.example.com/web:1
  amphipod save registry.example.com/web:1 | ssh node2 amphipod load`,
  async run(references, options, { client, stdout }) {
    const format = formats[options.format ?? 'oci'];
    if (format === undefined) throw new UsageError(`--format "${options.format}": expected oci or docker`);
    if (options.output === undefined && stdout.isTTY)
      throw new UsageError('an archive is nothing for a terminal: use -o FILE, or a pipe');
    const cri = await client();
    const request = SaveRequest.create({ images: references, format });
    const archive = pieces(cri.stream(ImagesService.save, [request]));
    if (options.output === undefined) await pipeline(archive, stdout as Writable, { end: false });
    else await writeWhole(options.output, archive);
    return 0;
  },
});

async function* pieces(responses: AsyncIterable<SaveResponse>): AsyncGenerator<Buffer> {
  for await (const { data } of responses) yield data;
}

/** A file under its name only when all of it is there. */
async function writeWhole(file: string, archive: AsyncIterable<Buffer>): Promise<void> {
  const unfinished = `${file}.${process.pid}.part`;
  try {
    await pipeline(archive, createWriteStream(unfinished, { flags: 'wx' }));
    await rename(unfinished, file);
  } catch (error) {
    await rm(unfinished, { force: true });
    const { syscall, message } = error as NodeJS.ErrnoException;
    throw syscall === undefined ? error : new CliError(`write "${file}": ${message}`, { cause: error });
  }
}
