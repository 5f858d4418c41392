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
  | 'disk-full';

/** What goes wrong with images; {@link ImageErrorCode} lists the codes. */
export class ImageError extends CodedError {
  declare readonly code: ImageErrorCode;

  constructor(code: ImageErrorCode, message: string, options?: { cause?: unknown }) {
    super(code, message, options);
  }
}
