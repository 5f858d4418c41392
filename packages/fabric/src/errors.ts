import { CodedError } from '@amphipod/linux';

/** The codes of this package's errors (docs/errors.md). */
export type FabricErrorCode =
  | 'conflict'
  | 'unavailable'
  | 'datastore-error'
  | 'invalid-config'
  | 'invalid-resource'
  | 'not-found'
  | 'already-exists'
  | 'no-free-subnet'
  | 'no-free-address'
  | 'no-pool'
  | 'address-taken'
  | 'lease-lost'
  | 'bird-error';

/** An error of the network of many nodes: its datastore, its configuration, its leases. */
export class FabricError extends CodedError {
  declare readonly code: FabricErrorCode;

  constructor(code: FabricErrorCode, message: string, options?: { cause?: unknown }) {
    super(code, message, options);
  }
}
