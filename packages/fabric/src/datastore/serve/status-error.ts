import { isCode } from '@amphipod/linux';
import { type Metadata, status } from '@grpc/grpc-js';

/** What a handler answers instead of a message. */
export interface StatusError {
  code: status;
  details: string;
  metadata?: Metadata;
}

/** A refusal in the words of etcd's API. */
export class RefusedCall extends Error {
  readonly code: status;

  constructor(code: status, details: string) {
    super(details);
    this.code = code;
  }
}

/** The gRPC status for an error of the store. */
export function statusError(error: unknown): StatusError {
  const details = (error as Error).message;
  if (error instanceof RefusedCall) return { code: error.code, details };
  return { code: isCode(error, 'unavailable') ? status.UNAVAILABLE : status.INTERNAL, details };
}
