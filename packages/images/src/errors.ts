import { CodedError } from '@amphipod/linux';

/**
 * Codes of {@link ImageError}:
 * - `invalid-reference`: the text is not an image reference
 * - `not-found`: no such image, tag, manifest or blob, here or at the registry
 * - `no-matching-platform`: the index or config has no image for the wanted platform
 * - `digest-mismatch`: bytes do not have the digest or the size they were announced with
 * - `unauthorized`: the registry refuses the credentials, or there are none
 * - `registry-unavailable`: the registry cannot be reached, or answered 429 or 5xx until the retries were used up
 * - `registry-error`: the registry answered something that the distribution spec does not allow here
 * - `invalid-registry-config`: a hosts.toml, auth file, credential helper, proxy, policy or key that cannot be used
 * - `signature-refused`: the signature policy does not accept the image
 * - `unsupported-media-type`: a manifest or layer of a kind that cannot be a container image here (foreign, schema 1, encrypted)
 * - `invalid-manifest`: a manifest, index, config or archive index that cannot be understood
 * - `truncated-archive`: a tar archive or compressed stream ends too early
 * - `invalid-archive`: a tar archive or compressed stream that breaks its format, or holds an entry of an unknown type
 * - `unsafe-path`: a tar entry or link that points out of its root
 * - `unpack-failed`: the file system refused an entry; the cause says why
 * - `store-in-use`: another process has opened the same root
 * - `id-map-unsupported`: the kernel or the store's file system cannot show a root file system to the users of a user namespace
 * - `store-version`: the root was written by a later version of this program
 * - `in-use`: a container holds what would have to be replaced
 * - `disk-full`: no space or no inodes left under the root
 */
export type ImageErrorCode =
  | 'invalid-reference'
  | 'not-found'
  | 'no-matching-platform'
  | 'digest-mismatch'
  | 'unauthorized'
  | 'registry-unavailable'
  | 'registry-error'
  | 'invalid-registry-config'
  | 'signature-refused'
  | 'unsupported-media-type'
  | 'invalid-manifest'
  | 'truncated-archive'
  | 'invalid-archive'
  | 'unsafe-path'
  | 'unpack-failed'
  | 'store-in-use'
  | 'id-map-unsupported'
  | 'store-version'
  | 'in-use'
  | 'disk-full';

/** What goes wrong with images; {@link ImageErrorCode} lists the codes. */
export class ImageError extends CodedError {
  declare readonly code: ImageErrorCode;

  constructor(code: ImageErrorCode, message: string, options?: { cause?: unknown }) {
    super(code, message, options);
  }
}

const SQLITE_FULL = 13;
const SQLITE_IOERR = 10;
const SQLITE_CANTOPEN = 14;

/** True when a thrown value, or what caused it, is a file system without room: from a system call, from SQLite or from here. */
export function isDiskFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code, cause } = error as NodeJS.ErrnoException;
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'disk-full') return true;
  return sqliteCode(error) === SQLITE_FULL || isDiskFull(cause);
}

/** The same, and what SQLite says when it has no room for its files beside the database, among other reasons. */
export function mayBeDiskFull(error: unknown): boolean {
  return isDiskFull(error) || [SQLITE_IOERR, SQLITE_CANTOPEN].includes(sqliteCode(error));
}

function sqliteCode(error: unknown): number {
  return ((error as { errcode?: number }).errcode ?? 0) & 0xff;
}

/** What was thrown, with code `disk-full` and the place in its message when that is why. */
export function asDiskFull(error: unknown, { what, root }: { what: string; root: string }): unknown {
  if (!isDiskFull(error)) return error;
  if (error instanceof ImageError && error.message.includes(root)) return error;
  const text = `${what}: no space left under ${JSON.stringify(root)}: ${(error as Error).message}`;
  return new ImageError('disk-full', text, { cause: error });
}
