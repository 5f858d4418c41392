import type { ServiceError } from '@grpc/grpc-js';
import type { Log } from '../log.ts';
import { toServiceError } from './status-code.ts';

/** Logs what a handler has thrown, with the stack where it is a mistake of ours. @returns what the client gets */
export function failedCall(log: Log, call: { method: string; ms?: number }, error: unknown): ServiceError {
  const status = toServiceError(error);
  log.warn('call failed', { ...call, code: status.name, error: status.details });
  if (status.name === 'INTERNAL' && error instanceof Error) log.error(error.stack ?? error.message);
  return status;
}
