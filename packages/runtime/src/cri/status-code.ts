import { CniError } from '@amphipod/cni';
import { ImageError } from '@amphipod/images';
import { status as grpc, Metadata, type ServiceError } from '@grpc/grpc-js';
import { CriError, errorText } from '../errors.ts';

type StatusName = keyof typeof grpc;

/** Codes of errors from below that have a meaning for the kubelet; docs/errors.md shows this table. */
const imageCodes: Record<string, StatusName> = {
  'invalid-reference': 'INVALID_ARGUMENT',
  'not-found': 'NOT_FOUND',
  'no-matching-platform': 'FAILED_PRECONDITION',
  'digest-mismatch': 'FAILED_PRECONDITION',
  unauthorized: 'UNAUTHENTICATED',
  'invalid-registry-config': 'FAILED_PRECONDITION',
  'unsupported-media-type': 'FAILED_PRECONDITION',
  'invalid-manifest': 'FAILED_PRECONDITION',
  'truncated-archive': 'INVALID_ARGUMENT',
  'invalid-archive': 'INVALID_ARGUMENT',
  'unsafe-path': 'INVALID_ARGUMENT',
  'id-map-unsupported': 'FAILED_PRECONDITION',
  'in-use': 'FAILED_PRECONDITION',
  'disk-full': 'RESOURCE_EXHAUSTED',
};

const cniCodes: Record<string, StatusName> = {
  'incompatible-version': 'FAILED_PRECONDITION',
  'unsupported-field': 'FAILED_PRECONDITION',
  'decoding-failure': 'FAILED_PRECONDITION',
  'invalid-network-config': 'FAILED_PRECONDITION',
  'plugin-not-found': 'FAILED_PRECONDITION',
  'try-again-later': 'UNAVAILABLE',
  'plugin-not-available': 'UNAVAILABLE',
  'limited-connectivity': 'UNAVAILABLE',
  'plugin-timeout': 'DEADLINE_EXCEEDED',
};

/**
 * Any thrown value as the gRPC status that the client gets: the only place where the runtime makes one.
 * What has no meaning of its own is INTERNAL.
 */
export function toServiceError(error: unknown): ServiceError {
  const [name, text] = statusOf(error);
  return Object.assign(new Error(text), { name, code: grpc[name], details: text, metadata: new Metadata() });
}

function statusOf(error: unknown): [StatusName, string] {
  const text = errorText(error);
  if (error instanceof CriError) return [error.code.toUpperCase().replaceAll('-', '_') as StatusName, text];
  if (error instanceof ImageError) {
    // The kubelet shows these messages to users only with code UNKNOWN and this word in front (cri-api, errors).
    if (error.code === 'registry-unavailable') return ['UNKNOWN', `RegistryUnavailable: ${text}`];
    if (error.code === 'signature-refused') return ['UNKNOWN', `SignatureValidationFailed: ${text}`];
    return [imageCodes[error.code] ?? 'INTERNAL', text];
  }
  if (error instanceof CniError) return [cniCodes[error.code] ?? 'INTERNAL', text];
  if (error instanceof Error && error.name === 'AbortError') return ['CANCELLED', text];
  if (error instanceof Error && error.name === 'TimeoutError') return ['DEADLINE_EXCEEDED', text];
  return ['INTERNAL', text];
}
