import { AuthConfig } from '../gen/api.ts';
import { defineCommand } from './command.ts';
import { UsageError } from './errors.ts';
import { pullImage } from './pull-image.ts';

export const command = defineCommand({
  name: 'pull',
  summary: 'Pull an image from a registry',
  operands: 'IMAGE',
  arity: [1, 1],
  options: {
    creds: { type: 'string', value: 'USER:PASSWORD', help: 'credentials for the registry' },
    quiet: { type: 'boolean', short: 'q', help: 'print the id only' },
  },
  details: `Prints the id of the image on stdout, progress on stderr.

Examples:
  amphipod pull registry.k8s.io/pause:3.10
  amphipod pull --creds me:secret registry.example.com/app:1.2`,
  async run([reference = ''], options, { client, stdout, stderr }) {
    const auth = options.creds === undefined ? undefined : parseCredentials(options.creds);
    const quiet = options.quiet ?? false;
    const id = await pullImage(await client(), { reference, stderr, quiet, ...(auth && { auth }) });
    stdout.write(`${id}\n`);
    return 0;
  },
});

function parseCredentials(text: string): AuthConfig {
  const colon = text.indexOf(':');
  if (colon < 1) throw new UsageError('--creds has no colon: expected USER:PASSWORD');
  return AuthConfig.create({ username: text.slice(0, colon), password: text.slice(colon + 1) });
}
