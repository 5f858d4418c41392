export { ImageError, type ImageErrorCode } from './errors.ts';
export type {
  IdMap,
  Image,
  ImageStore,
  ImageStoreSettings,
  LayerDetails,
  LayerProgress,
  LoadOptions,
  LoadSource,
  OciImageConfig,
  Platform,
  PullOptions,
  RegistryAuth,
  RootfsMount,
  SaveOptions,
  VerifyOptions,
  VerifyReport,
} from './image.ts';
export { type ImageStoreOptions, openImageStore } from './image-store.ts';
export { formatPlatform, hostPlatform } from './platform.ts';
export { formatReference, isLoopbackHost, parseReference, type Reference } from './reference.ts';
export type { TlsOptions } from './registry/http-exchange.ts';
export type { HostCredentials, RegistryHost, RegistryOptions } from './registry/registry-hosts.ts';
export type { RetryPolicy } from './registry/retries.ts';
export type { TarEntry } from './tar/tar-entry.ts';
export { TarReader, type TarSink } from './tar/tar-reader.ts';
