import type { LoadSource } from '@amphipod/images';
import { CriError } from '../errors.ts';

const kinds: Record<string, LoadSource['kind']> = {
  'oci-archive': 'oci-archive',
  'docker-archive': 'docker-archive',
  oci: 'oci-layout',
};

/**
 * The file behind an image name with a transport, as skopeo and podman write them: `oci-archive:/abs/file[:NAME]`,
 * `docker-archive:…`, `oci:/abs/dir`. Undefined for an ordinary reference. The kubelet's own parser refuses such names, so
 * pods cannot reach files through them.
 * @throws CriError invalid-argument for a path that is not absolute
 */
export function parseLoadSource(name: string): LoadSource | undefined {
  const [, transport = '', rest = ''] = /^(oci-archive|docker-archive|oci):(.*)$/.exec(name) ?? [];
  const kind = kinds[transport];
  if (kind === undefined || /^\d+(\/|$)/.test(rest)) return undefined;
  if (!rest.startsWith('/')) {
    throw new CriError('invalid-argument', `load image ${JSON.stringify(name)}: the path must be absolute`);
  }
  const colon = rest.indexOf(':');
  if (colon < 0) return { kind, path: rest };
  return { kind, path: rest.slice(0, colon), reference: rest.slice(colon + 1) };
}
