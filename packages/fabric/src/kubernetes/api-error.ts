import { FabricError, type FabricErrorCode } from '../errors.ts';

/** The parts of a Kubernetes `Status` object that we look at. */
export interface KubernetesStatus {
  message?: string;
  reason?: string;
  code?: number;
  details?: { causes?: readonly { reason?: string }[]; retryAfterSeconds?: number };
}

/** A refusal by the API server. */
export class KubernetesApiError extends FabricError {
  /** HTTP's. */
  readonly status: number;
  /** How long the server asks us to wait before we try again. */
  readonly retryAfterMs: number;
  /** What was asked for is too old to be known, or of a time that the server has not come to: begin anew. */
  readonly isPositionLost: boolean;

  /** @param what for the message: `list "/api/v1/nodes"` */
  constructor(what: string, status: KubernetesStatus & { code: number }) {
    const text = status.message ?? status.reason ?? 'no reason given';
    super(codeOf(status.code), `${what}: the API server says ${status.code}: ${text}`);
    this.status = status.code;
    this.retryAfterMs = 1000 * (status.details?.retryAfterSeconds ?? 0);
    this.isPositionLost =
      status.code === 410 ||
      status.reason === 'Expired' ||
      status.reason === 'Gone' ||
      status.details?.causes?.some(({ reason }) => reason === 'ResourceVersionTooLarge') === true;
  }
}

function codeOf(status: number): FabricErrorCode {
  if (status === 409) return 'conflict';
  return status === 429 || status >= 500 ? 'unavailable' : 'datastore-error';
}
