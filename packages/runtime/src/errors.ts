import { CodedError } from '@amphipod/linux';

/** The codes of the runtime's own errors; each is one gRPC status code in lower case (docs/errors.md). */
export type CriErrorCode =
  | 'invalid-argument'
  | 'not-found'
  | 'already-exists'
  | 'failed-precondition'
  | 'aborted'
  | 'deadline-exceeded'
  | 'resource-exhausted'
  | 'unimplemented'
  | 'unavailable'
  | 'cancelled'
  | 'internal';

/** An error with a gRPC meaning. Thrown anywhere in the runtime; turned into a status in `cri/server.ts` only. */
export class CriError extends CodedError {
  declare readonly code: CriErrorCode;

  constructor(code: CriErrorCode, message: string, options?: { cause?: unknown }) {
    super(code, message, options);
  }
}

/** Text of any thrown value with its causes: `start container "x": create: exec: "foo": not found`. */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof AggregateError && error.errors.length > 0) {
    return `${error.message}: ${error.errors.map(errorText).join('; ')}`;
  }
  const cause = error.cause === undefined ? '' : errorText(error.cause);
  return cause === '' || error.message.includes(cause) ? error.message : `${error.message}: ${cause}`;
}
