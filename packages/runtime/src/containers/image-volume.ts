import { mkdirSync } from 'node:fs';
import { isCode, realPathBeneath } from '@amphipod/linux';
import type { RuntimeContext } from '../context.ts';
import { CriError } from '../errors.ts';
import { type Mount, MountPropagation } from '../gen/api.ts';
import { containerPaths } from './paths.ts';
import { podIdMap } from './rootfs.ts';
import type { ContainerInPod, Refuse } from './volume-mount.ts';

/** What the kubelet looks for at the beginning of a message (cri-api, pkg/errors). */
const kubeletPrefix = 'ImageVolumeMountFailed';

/**
 * Mounts the image of an image volume and finds its sub-path in it. The image stays until the container is removed.
 * @returns what to bind into the container, read-only
 * @throws CriError whose message begins with {@link kubeletPrefix}
 */
export function mountImageVolume(
  context: RuntimeContext,
  { sandbox, container }: ContainerInPod,
  { mount, index, refuse }: { mount: Mount; index: number; refuse: Refuse },
): string {
  const failed = (why: string, options?: { cause?: unknown }) => {
    const { code, message, cause } = refuse(why, options);
    return new CriError(code, `${kubeletPrefix}: ${message}`, { cause });
  };
  if (mount.hostPath !== '') throw failed('host_path and image exclude each other');
  if (!mount.readonly) throw failed('an image volume is read-only: readonly must be set');
  if (mount.propagation !== MountPropagation.PROPAGATION_PRIVATE)
    throw failed('an image volume has private propagation');
  const name = mount.image?.image ?? '';
  const image = context.images.find(name);
  if (image === undefined) throw failed(`image ${JSON.stringify(name)} is not here, pull it first`);

  context.images.acquire(image.id, container.id);
  context.store.containers.update(container, {
    volumeImageIds: { ...container.volumeImageIds, [index]: image.id },
  });
  const { volumes, anonymousVolumes } = containerPaths(context.config, container.id);
  const target = `${volumes}/image-${index}`;
  mkdirSync(target, { recursive: true, mode: 0o711 });
  const layer = `${anonymousVolumes}/image-${index}`;
  context.images.mountRootfs(image.id, {
    // Never written to: overlayfs wants one.
    upperDir: `${layer}/upper`,
    workDir: `${layer}/work`,
    target,
    volatile: true,
    ...podIdMap(context, sandbox),
  });
  return mount.imageSubPath === '' ? target : subPath(target, mount.imageSubPath, failed);
}

/** Found by the kernel below the image's root, so that no link leads to the host (field case VOL-03). */
function subPath(root: string, path: string, failed: Refuse): string {
  try {
    return realPathBeneath(root, path);
  } catch (cause) {
    if (!isCode(cause, 'EXDEV', 'ENOENT', 'ENOTDIR', 'ELOOP')) throw cause;
    const why = isCode(cause, 'EXDEV')
      ? 'leads out of the image'
      : `is not in the image (${(cause as NodeJS.ErrnoException).code})`;
    throw failed(`image_sub_path ${JSON.stringify(path)} ${why}`);
  }
}
