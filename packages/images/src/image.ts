import type { RegistryOptions } from './registry/registry-hosts.ts';

/** The part of an OCI image configuration that a runtime needs, under the names of the image spec (config.md, "config"). */
export interface OciImageConfig {
  User?: string;
  ExposedPorts?: Record<string, unknown>;
  Env?: string[];
  Entrypoint?: string[];
  Cmd?: string[];
  Volumes?: Record<string, unknown>;
  WorkingDir?: string;
  Labels?: Record<string, string>;
  StopSignal?: string;
}

/** An image in the store. */
export interface Image {
  /** Digest of the image configuration, `sha256:…`. */
  id: string;
  /** Canonical names with tag: `docker.io/library/busybox:latest`. */
  repoTags: string[];
  /** Canonical names with digest of the manifest or index: `docker.io/library/busybox@sha256:…`. */
  repoDigests: string[];
  /** Bytes of configuration and layers as they came over the wire. */
  sizeBytes: bigint;
  /** Never to be removed by garbage collection (the kubelet's). */
  pinned: boolean;
  config: OciImageConfig;
  /** Annotations of the manifest. */
  annotations?: Record<string, string>;
}

/** One layer of an image in the store. */
export interface LayerDetails {
  /** Digest, type and size of its blob, as the manifest names them. */
  digest: string;
  mediaType: string;
  sizeBytes: number;
  /** Digest of the archive without compression. */
  diffId: string;
  /** Name of the stack up to this layer: layers of several images with the same one are on disk once. */
  chainId: string;
  /** Disk use of the unpacked layer. */
  diskBytes: number;
  inodes: number;
}

/** What an image consists of. */
export interface ImageDetails {
  manifestDigest: string;
  /** Of the whole stack; empty without layers. */
  chainId: string;
  /** The image configuration as it came (image-spec config.md), with history and root file system. */
  imageSpec: Record<string, unknown>;
  /** Bottom layer first. */
  layers: LayerDetails[];
}

/** A platform as image indexes name it: Go's words for operating system and architecture. */
export interface Platform {
  os: string;
  architecture: string;
  variant?: string;
}

/** Credentials for one registry, as in CRI's AuthConfig. */
export interface RegistryAuth {
  username?: string;
  password?: string;
  /** base64 of `username:password`. */
  auth?: string;
  /** Refresh token: exchanged for bearer tokens. */
  identityToken?: string;
  /** Bearer token, sent as it is. */
  registryToken?: string;
  /** The credentials are only used for this registry, when given. */
  serverAddress?: string;
}

/** How far one layer is. */
export interface LayerProgress {
  /** Digest of the layer's blob. */
  digest: string;
  doneBytes: number;
  totalBytes: number;
  state: 'waiting' | 'downloading' | 'unpacking' | 'done' | 'exists';
}

export interface PullOptions {
  auth?: RegistryAuth;
  /** Default: this machine's. */
  platform?: Platform;
  signal?: AbortSignal;
  onProgress?: (progress: LayerProgress) => void;
}

/**
 * Something on disk to load images from.
 * - `archive`: an OCI or docker archive, whichever it is
 * - `containerd`: the root directory of containerd (`/var/lib/containerd`), which may be running
 * - `containers-storage`: the storage of CRI-O and podman (`/var/lib/containers/storage`)
 */
export interface LoadSource {
  kind: 'oci-layout' | 'oci-archive' | 'docker-archive' | 'archive' | 'containerd' | 'containers-storage';
  path: string;
  /** An archive from elsewhere than a file; `path` is then its name in messages. */
  data?: AsyncIterable<Uint8Array>;
  /** `containerd` only; default `k8s.io`, where CRI keeps its images. */
  namespace?: string;
  /** The name to give when the source holds one image; the name of the image to take when it holds several. */
  reference?: string;
}

export interface LoadOptions {
  platform?: Platform;
  signal?: AbortSignal;
  onProgress?: (progress: LayerProgress) => void;
  /** Told of an image that cannot be taken; then the others still are. Without it the first failure ends the load. */
  onFailure?: (names: string[], error: Error) => void;
  /** Told of each image that has been taken. */
  onLoaded?: (image: Image) => void;
}

export interface SaveOptions {
  /**
   * - `oci-archive` (default): an OCI layout as a tar archive
   * - `docker-archive`: as `docker save` wrote it before version 25
   */
  format?: 'oci-archive' | 'docker-archive';
  signal?: AbortSignal;
}

export interface VerifyOptions {
  /** Only these images; default all. */
  references?: string[];
  /** Check the blobs only, and do not unpack the layers again to compare them. */
  blobsOnly?: boolean;
  /** Put right what can be put right: blobs from their registry, layers from their blobs. */
  repair?: boolean;
  /** Credentials for the registry, for repairs. */
  auth?: RegistryAuth;
  signal?: AbortSignal;
  /** Told of each thing before it is looked at. */
  onProgress?: (progress: { kind: 'blob' | 'layer'; digest: string; done: number; total: number }) => void;
}

/** Something in the store that is not as it should be. */
export interface Damage {
  kind: 'blob' | 'layer';
  /** Digest of the blob; chain id of the layer. */
  digest: string;
  /** Ids of the images that need it. */
  imageIds: string[];
  problem: string;
  isRepaired: boolean;
  /** Why it could not be repaired. */
  repairError?: string;
}

export interface VerifyReport {
  checkedBlobs: number;
  checkedLayers: number;
  damages: Damage[];
}

/** Where the writable part of a root file system goes; both on one file system, made when missing. */
export interface RootfsMount {
  upperDir: string;
  workDir: string;
  target: string;
  /**
   * Never sync the writable part, not even at unmount (overlayfs.rst, "Volatile mount"; Linux 5.10). For one that is of no
   * use after a crash of the machine: it cannot be mounted again then.
   */
  volatile?: boolean;
  /** Shows the image's files as the users of a user namespace. Default: the owners as they are on disk. */
  idMap?: IdMap;
}

/**
 * Ownership for a user namespace: what belongs to user 0 in the image belongs to the user that the namespace maps 0 to, and
 * so on. Nothing on disk is changed: the kernel does it at the mount (idmapped mounts; overlayfs takes them since Linux 5.19).
 * Files of users outside the namespace's maps are shown as the overflow user's (65534) and cannot be changed.
 */
export interface IdMap {
  /** File of the user namespace: `/proc/PID/ns/user`, or where it is pinned. */
  userNs: string;
}

/** What can change while the store is open: {@link ImageStore.configure}. */
export interface ImageStoreSettings {
  /**
   * Images with {@link Image.pinned}, whatever `setPinned` says: names, `PREFIX*` or `*WORD*`. Not kept: those of the next
   * opening count then.
   */
  pinned?: string[];
  registries?: RegistryOptions;
  /**
   * A policy.json as containers' tools have it (containers-policy.json(5)): what images must be signed with. Read again for
   * each pull. Default: everything is accepted.
   */
  signaturePolicy?: string;
}

/** A store of images under one directory. */
export interface ImageStore extends AsyncDisposable {
  /** Downloads what is missing and unpacks it. When it resolves, the image is on disk (synced). @throws ImageError */
  pull(reference: string, options?: PullOptions): Promise<Image>;
  /** Takes in the images of an archive or layout. @throws ImageError */
  load(source: LoadSource, options?: LoadOptions): Promise<Image[]>;
  /**
   * Writes images with all their names as one archive. What is written can be loaded again, here and elsewhere.
   * @throws ImageError not-found; digest-mismatch for a damaged blob, which ends the archive early
   */
  save(references: readonly string[], options?: SaveOptions): AsyncIterable<Buffer>;
  /** Compares what is on disk with its digests. What is damaged comes anew with the next pull or load, or by `repair`. */
  verify(options?: VerifyOptions): Promise<VerifyReport>;
  /** All that are not removed; the same array until one of them changes. */
  list(): readonly Image[];
  /** What an image consists of. @throws ImageError not-found */
  describe(id: string): ImageDetails;
  /** By id (`sha256:…` or hex), unambiguous hex prefix, name with tag, name with digest, or short name. */
  find(reference: string): Image | undefined;
  /**
   * Removes the image under all its names at once; a missing one is fine. What only it used is deleted, unless an owner
   * holds it (see {@link acquire}): then when the last one lets go.
   */
  remove(reference: string): Promise<void>;
  setPinned(id: string, pinned: boolean): void;
  /** Settings for what begins from now on; those that are left out get their defaults. @throws ImageError invalid-registry-config, with which nothing changes */
  configure(settings: ImageStoreSettings): void;
  /** Disk use of blobs and unpacked layers, from running totals. */
  usage(): { usedBytes: bigint; inodesUsed: bigint };
  /** Directories of the unpacked layers, top layer first; also of a removed image that is still held. @throws ImageError not-found */
  lowerDirs(id: string): string[];
  /**
   * Mounts the image's layers with a writable layer above (`mount -t overlay`).
   * @throws ImageError not-found; id-map-unsupported when there is an `idMap` that this kernel or file system cannot apply;
   * SyscallError
   */
  mountRootfs(id: string, mount: RootfsMount): void;
  /** Keeps the image's layers until `ownerId` releases them, over restarts too. @throws ImageError not-found */
  acquire(id: string, ownerId: string): void;
  /** Lets go of all images that `ownerId` holds, or of one of them. Unknown owners are fine. */
  release(ownerId: string, id?: string): void;
  /** Everybody who holds an image: to compare with the containers that exist. */
  owners(): { ownerId: string; imageId: string }[];
  close(): Promise<void>;
}
