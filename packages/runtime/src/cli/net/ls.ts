import { PodSandboxStatusRequest } from '../../gen/api.ts';
import { defineCommand, outputOption } from '../command.ts';
import { CliError } from '../errors.ts';
import { findPod } from '../find-pod.ts';
import { outputFormat, printJson } from '../output.ts';
import { printNetworks, STATUS_ANNOTATION } from './print-networks.ts';

export const command = defineCommand({
  name: 'net ls',
  summary: 'List the networks of a pod',
  operands: 'POD',
  arity: [1, 1],
  options: outputOption,
  details: `POD is an id, the beginning of one, a name or NAMESPACE/NAME. The JSON form is that of the annotation
${STATUS_ANNOTATION}.

Example:
  amphipod net ls web`,
  async run([reference = ''], options, { client, stdout }) {
    const format = outputFormat(options.output);
    const cri = await client();
    const podSandboxId = await findPod(cri, reference);
    const { status, info } = await cri.runtime.podSandboxStatus(
      PodSandboxStatusRequest.create({ podSandboxId, verbose: true }),
    );
    const text = info.networks ?? status?.annotations[STATUS_ANNOTATION];
    if (text === undefined) throw new CliError('the runtime does not tell the networks of pods');
    if (format === 'json') printJson(stdout, JSON.parse(text));
    else printNetworks(stdout, text);
    return 0;
  },
});
