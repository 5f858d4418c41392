export { ImageError, type ImageErrorCode } from './errors.ts';
export type {
  Image,
  ImageStore,
  LayerProgress,
  LoadOptions,
  LoadSource,
  OciImageConfig,
  Platform,
  PullOptions,
  RegistryAuth,
  RootfsMount,
} from './image.ts';
export { openImageStore } from './image-store.ts';
export { formatReference, isLoopbackHost, parseReference, type Reference } from './reference.ts';
