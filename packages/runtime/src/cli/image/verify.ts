import {
  type Damage,
  ImagesService,
  type VerifyReport,
  VerifyRequest,
  type VerifyResponse,
} from '../../gen/images.ts';
import { type CommandContext, defineCommand, outputOption } from '../command.ts';
import { CliError } from '../errors.ts';
import { outputFormat, printJson, printTable, shortId } from '../output.ts';
import { credentialsOption, parseCredentials } from './credentials.ts';

export const command = defineCommand({
  name: 'image verify',
  summary: 'Compare blobs and unpacked layers with their digests',
  operands: '[IMAGE...]',
  arity: [0, Number.POSITIVE_INFINITY],
  options: {
    repair: { type: 'boolean', help: 'get damaged blobs from their registry, unpack damaged layers again' },
    'blobs-only': { type: 'boolean', help: 'do not look at unpacked layers' },
    ...credentialsOption,
    ...outputOption,
  },
  details: `Reads every blob, and unpacks every layer once more beside the old one to compare the two: that takes the time of the unpacking, and
the space of the largest layer. A layer that a container uses is not replaced. Exit code 1 when something stays damaged; a pull or load of
the image brings a damaged blob anew, too. Needs amphipod as the runtime.

Examples:
  amphipod image verify
  amphipod image verify --repair registry.example.com/web:1`,
  async run(references, options, { client, stdout, stderr }) {
    const format = outputFormat(options.output);
    const { username = '', password = '' } =
      options.creds === undefined ? {} : parseCredentials(options.creds);
    const request = VerifyRequest.create({
      images: references,
      blobsOnly: options['blobs-only'] ?? false,
      repair: options.repair ?? false,
      username,
      password,
    });
    const cri = await client();
    const report = await follow(cri.stream(ImagesService.verify, [request]), stderr);
    if (format === 'json') printJson(stdout, report);
    else print(stdout, report);
    return report.damages.every(({ isRepaired }) => isRepaired) ? 0 : 1;
  },
});

async function follow(
  responses: AsyncIterable<VerifyResponse>,
  stderr: CommandContext['stderr'],
): Promise<VerifyReport> {
  for await (const { kind, digest, done, total, report } of responses) {
    if (stderr.isTTY) stderr.write('\r\x1b[K');
    if (report !== undefined) return report;
    if (stderr.isTTY) stderr.write(`${kind} ${done + 1} of ${total}: ${shortId(digest)}`);
  }
  throw new CliError('the runtime ended the call without a report');
}

function print(
  stdout: CommandContext['stdout'],
  { checkedBlobs, checkedLayers, damages }: VerifyReport,
): void {
  if (damages.length > 0)
    printTable(stdout, ['KIND', 'DIGEST', 'IMAGES', 'PROBLEM', 'REPAIR'], damages.map(row));
  const count = damages.filter(({ isRepaired }) => !isRepaired).length;
  const verdict =
    damages.length === 0 ? 'all is as it should be' : `${damages.length} damaged, ${count} still are`;
  stdout.write(`${checkedBlobs} blobs and ${checkedLayers} layers: ${verdict}\n`);
}

function row({ kind, digest, imageIds, problem, isRepaired, repairError }: Damage): string[] {
  const repair = isRepaired ? 'done' : repairError || '-';
  return [kind, shortId(digest), imageIds.map(shortId).join(','), problem, repair];
}
