import { createHash } from 'node:crypto';

/** The digest of a content as manifests name it: `sha256:HEX`. */
export function sha256Digest(content: Buffer | string): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}

/** True for a digest of the kind that is supported. */
export function isDigest(text: string): boolean {
  return /^sha256:[0-9a-f]{64}$/.test(text);
}

/** Where a blob is in an OCI layout (image-spec image-layout.md), in containerd's content store and in ours. */
export function blobPath(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`;
}
