import { AuthConfig } from '../../gen/api.ts';
import type { OptionSpecs } from '../command.ts';
import { UsageError } from '../errors.ts';

export const credentialsOption = {
  creds: { type: 'string', value: 'USER:PASSWORD', help: 'credentials for the registry' },
} as const satisfies OptionSpecs;

/** @throws UsageError */
export function parseCredentials(text: string): AuthConfig {
  const colon = text.indexOf(':');
  if (colon < 1) throw new UsageError('--creds has no colon: expected USER:PASSWORD');
  return AuthConfig.create({ username: text.slice(0, colon), password: text.slice(colon + 1) });
}
