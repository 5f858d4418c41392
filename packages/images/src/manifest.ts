import { isDigest } from './digest.ts';
import { ImageError } from './errors.ts';
import type { OciImageConfig, Platform } from './image.ts';
import { isObject } from './is-object.ts';
import { mediaTypes } from './media-types.ts';
import { formatPlatform, platformScore } from './platform.ts';

/** A pointer to content (image-spec descriptor.md). */
export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
  platform?: Platform;
  annotations?: Record<string, string>;
}

/** One image for one platform. */
export interface Manifest {
  kind: 'manifest';
  mediaType: string;
  config: Descriptor;
  layers: Descriptor[];
  annotations?: Record<string, string>;
}

/** Several images, for several platforms. */
export interface Index {
  kind: 'index';
  mediaType: string;
  manifests: Descriptor[];
}

/** What the image configuration says, as far as it matters here (image-spec config.md). */
export interface ImageConfig {
  platform: Platform;
  diffIds: string[];
  config: OciImageConfig;
}

/** More than any real manifest or configuration has; they are held in memory. */
export const maxManifestBytes = 8 * 1024 * 1024;

/** Parses a manifest or index of OCI or Docker. @throws ImageError invalid-manifest, unsupported-media-type */
export function parseManifest(bytes: Buffer, contentType?: string): Manifest | Index {
  const json = parseObject(bytes, 'manifest');
  const mediaType = textOf(json.mediaType) ?? contentType?.split(';')[0]?.trim() ?? '';
  if (json.schemaVersion === 1 || /vnd\.docker\.distribution\.manifest\.v1\+/.test(mediaType)) {
    throw new ImageError(
      'unsupported-media-type',
      'read manifest: Docker schema 1 manifests are not supported',
    );
  }
  if (Array.isArray(json.manifests)) {
    return { kind: 'index', mediaType, manifests: json.manifests.map(descriptor) };
  }
  if (!Array.isArray(json.layers)) throw invalid('manifest', 'it has neither "layers" nor "manifests"');
  const annotations = stringMap(json.annotations);
  const manifest: Manifest = {
    kind: 'manifest',
    mediaType,
    config: descriptor(json.config),
    layers: json.layers.map(descriptor),
    ...(annotations && { annotations }),
  };
  checkKinds(manifest);
  return manifest;
}

/** Parses an image configuration. @throws ImageError invalid-manifest */
export function parseConfig(bytes: Buffer): ImageConfig {
  const json = parseObject(bytes, 'image config');
  const rootfs = isObject(json.rootfs) ? json.rootfs : {};
  const diffIds = rootfs.diff_ids ?? [];
  if (!Array.isArray(diffIds) || !diffIds.every((id) => typeof id === 'string' && isDigest(id))) {
    throw invalid('image config', 'rootfs.diff_ids must be a list of digests');
  }
  const variant = textOf(json.variant);
  return {
    platform: {
      os: textOf(json.os) ?? '',
      architecture: textOf(json.architecture) ?? '',
      ...(variant !== undefined && { variant }),
    },
    diffIds,
    config: runConfig(isObject(json.config) ? json.config : {}),
  };
}

/**
 * The entry of an index that serves best on `wanted`; attestations (platform unknown/unknown) are passed over.
 * @throws ImageError no-matching-platform, naming what there is
 */
export function choosePlatform(manifests: readonly Descriptor[], wanted: Platform, what: string): Descriptor {
  const images = manifests.filter((entry) => !isAttestation(entry));
  const scored = images.map((entry) => ({
    entry,
    // An entry without a platform may be for any.
    score: entry.platform === undefined ? 0.5 : platformScore(wanted, entry.platform),
  }));
  const best = scored.reduce((a, b) => (b.score > a.score ? b : a), { entry: undefined, score: 0 } as {
    entry: Descriptor | undefined;
    score: number;
  });
  if (best.entry === undefined) {
    throw noMatch(
      what,
      wanted,
      images.map(({ platform }) =>
        platform === undefined ? 'an unnamed platform' : formatPlatform(platform),
      ),
    );
  }
  return best.entry;
}

/** @throws ImageError no-matching-platform when the configuration names another platform than the wanted one */
export function checkPlatform({ platform }: ImageConfig, wanted: Platform, what: string): void {
  if (platform.os === '' || platform.architecture === '') return;
  if (platformScore(wanted, platform) === 0) throw noMatch(what, wanted, [formatPlatform(platform)]);
}

/** True for entries of an index that hold provenance or an SBOM and no image (field case IMG-14). */
export function isAttestation({ platform, annotations }: Descriptor): boolean {
  return (
    annotations?.['vnd.docker.reference.type'] === 'attestation-manifest' ||
    (platform?.os === 'unknown' && platform.architecture === 'unknown')
  );
}

const configTypes: readonly string[] = [mediaTypes.ociConfig, mediaTypes.dockerConfig];
// The compression is decided by content, so any suffix that names one is fine.
const layerType =
  /^application\/vnd\.(?:oci\.image\.layer\.v1\.tar(?:\+(?:gzip|zstd))?|docker\.image\.rootfs\.diff\.tar(?:\.(?:gzip|zstd))?)$/;

function checkKinds({ config, layers }: Manifest): void {
  if (!configTypes.includes(config.mediaType)) {
    const text = `its config has type ${JSON.stringify(config.mediaType)}`;
    throw new ImageError('unsupported-media-type', `read manifest: not a container image: ${text}`);
  }
  for (const { mediaType, digest } of layers) {
    if (layerType.test(mediaType)) continue;
    const isForeign = /nondistributable|foreign/.test(mediaType);
    const kind = isForeign ? 'a foreign layer, to be had from elsewhere,' : 'a layer';
    throw new ImageError(
      'unsupported-media-type',
      `read manifest: ${kind} of type ${JSON.stringify(mediaType)} (${digest}) is not supported`,
    );
  }
}

function descriptor(value: unknown): Descriptor {
  if (!isObject(value)) throw invalid('manifest', 'a descriptor is not an object');
  const { mediaType, digest, size } = value;
  if (typeof digest !== 'string' || !isDigest(digest)) {
    throw invalid('manifest', `digest ${JSON.stringify(digest)} is not sha256:<64 lower-case hex digits>`);
  }
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw invalid('manifest', `size ${JSON.stringify(size)} of ${digest} is not a size`);
  }
  const annotations = stringMap(value.annotations);
  const platform = isObject(value.platform) ? platformOf(value.platform) : undefined;
  return {
    mediaType: textOf(mediaType) ?? '',
    digest,
    size,
    ...(platform && { platform }),
    ...(annotations && { annotations }),
  };
}

function platformOf(value: Record<string, unknown>): Platform {
  const variant = textOf(value.variant);
  return {
    os: textOf(value.os) ?? '',
    architecture: textOf(value.architecture) ?? '',
    ...(variant !== undefined && { variant }),
  };
}

function runConfig(json: Record<string, unknown>): OciImageConfig {
  const config: OciImageConfig = {};
  for (const key of ['User', 'WorkingDir', 'StopSignal'] as const) {
    if (typeof json[key] === 'string') config[key] = json[key];
  }
  for (const key of ['Env', 'Entrypoint', 'Cmd'] as const) {
    const list = json[key];
    if (Array.isArray(list)) config[key] = list.filter((item) => typeof item === 'string');
  }
  for (const key of ['ExposedPorts', 'Volumes'] as const) {
    if (isObject(json[key])) config[key] = json[key];
  }
  const labels = stringMap(json.Labels);
  return labels === undefined ? config : { ...config, Labels: labels };
}

function parseObject(bytes: Buffer, what: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new ImageError('invalid-manifest', `read ${what}: not JSON: ${(cause as Error).message}`, {
      cause,
    });
  }
  if (!isObject(value)) throw invalid(what, 'not a JSON object');
  return value;
}

function stringMap(value: unknown): Record<string, string> | undefined {
  if (!isObject(value)) return undefined;
  return Object.fromEntries(
    Object.entries(value).filter((pair): pair is [string, string] => typeof pair[1] === 'string'),
  );
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function noMatch(what: string, wanted: Platform, offered: string[]): ImageError {
  const list = offered.length === 0 ? 'no images' : [...new Set(offered)].join(', ');
  return new ImageError(
    'no-matching-platform',
    `choose image of ${what}: no match for ${formatPlatform(wanted)}: it has ${list}`,
  );
}

function invalid(what: string, cause: string): ImageError {
  return new ImageError('invalid-manifest', `read ${what}: ${cause}`);
}
