import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import type { Attachment } from '@amphipod/cni';
import type { OptionSpecs, OptionValues } from '../command.ts';
import { CliError } from '../errors.ts';
import { networkOptions } from './network-options.ts';

const CONTAINER_ID_BYTES = 10;

/** What plugins are told of an attachment, wherever it is made. */
export const argumentOptions = {
  ifname: { type: 'string', value: 'NAME', help: 'interface in the namespace (CNI_IFNAME; eth0)' },
  args: { type: 'string', value: 'K=V[;K=V]', help: 'arguments for the plugins (CNI_ARGS)' },
  'cap-args': { type: 'string', value: 'JSON', help: 'arguments by capability, an object (CAP_ARGS)' },
} as const satisfies OptionSpecs;

/** Which attachment: options of `add`, `del` and `check`. */
export const attachmentOptions = {
  ...argumentOptions,
  'container-id': { type: 'string', value: 'ID', help: 'made from the path of the namespace otherwise' },
  ...networkOptions,
} as const satisfies OptionSpecs;

/** @throws CliError for arguments that cannot be read */
export function readAttachment(
  netns: string,
  options: OptionValues<typeof attachmentOptions>,
  env: NodeJS.ProcessEnv,
): Attachment {
  const path = resolve(netns);
  const args = options.args ?? env.CNI_ARGS ?? '';
  const capabilityArgs = options['cap-args'] ?? env.CAP_ARGS ?? '';
  return {
    containerID: options['container-id'] ?? containerIdOf(path),
    netns: path,
    ifName: options.ifname ?? env.CNI_IFNAME ?? 'eth0',
    ...(args !== '' && { args: readArgs(args) }),
    ...(capabilityArgs !== '' && { capabilityArgs: readCapabilityArgs(capabilityArgs) }),
  };
}

/** cnitool's rule, so that one can detach what the other attached. */
function containerIdOf(netns: string): string {
  const digest = createHash('sha512').update(netns).digest();
  return `cnitool-${digest.subarray(0, CONTAINER_ID_BYTES).toString('hex')}`;
}

function readArgs(text: string): [string, string][] {
  return text.split(';').map((pair) => {
    const [key = '', value = '', ...more] = pair.split('=');
    if (key === '' || value === '' || more.length > 0)
      throw failure(`invalid CNI_ARGS pair ${JSON.stringify(pair)}`);
    return [key, value];
  });
}

function readCapabilityArgs(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw failure(`read CAP_ARGS: ${(cause as Error).message}`, cause);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw failure(`read CAP_ARGS: got ${text}, want an object such as {"portMappings": [...]}`);
  return value as Record<string, unknown>;
}

function failure(message: string, cause?: unknown): CliError {
  return new CliError(message, { exitCode: 1, isBare: true, cause });
}
