import { FabricError, type FabricErrorCode } from '../errors.ts';

/** The parts of a Kubernetes `Status` object that we look at. */
export interface KubernetesStatus {
  message?: string;
  reason?: string;
  code?: number;
  details?: { retryAfterSeconds?: number };
}

/** A refusal by the API server. */
export class KubernetesApiError extends FabricError {
  /** HTTP's. */
  readonly status: number;
  /** How long the server asks us to wait before we try again. */
  readonly retryAfterMs: number;
  /** What was asked for is too old to be known: begin anew. */
  readonly isPositionLost: boolean;

  /** @param what for the message: `list "/api/v1/nodes"` */
  constructor(what: string, status: KubernetesStatus & { code: number }) {
    const text = status.message ?? status.reason ?? 'no reason given';
    super(codeOf(status.code), `${what}: the API server says ${status.code}: ${text}`);
    this.status = status.code;
    this.retryAfterMs = 1000 * (status.details?.retryAfterSeconds ?? 0);
    this.isPositionLost = status.code === 410;
  }
}

/** Not to be let in may pass: tokens are replaced, roles are bound later, and a server that starts does not know its roles yet. */
const passingStatuses: readonly number[] = [401, 403, 429];

function codeOf(status: number): FabricErrorCode {
  if (status === 409) return 'conflict';
  return passingStatuses.includes(status) || status >= 500 ? 'unavailable' : 'datastore-error';
}
