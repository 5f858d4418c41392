import type { OciImageConfig } from '@amphipod/images';
import type { RuntimeContext } from '../context.ts';
import type { Mount } from '../gen/api.ts';
import type { OciMount } from '../oci/spec.ts';
import { anonymousVolumes } from './anonymous-volumes.ts';
import { planIdMappedMount, wantsIdMap } from './id-mapped-mounts.ts';
import { mountImageVolume } from './image-volume.ts';
import { type ContainerInPod, hostSource, refuseMount, volumeMount } from './volume-mount.ts';

/**
 * Makes what a container's volumes need and gives their mounts: directories of the host, image volumes, VOLUMEs of the image.
 * @throws CriError invalid-argument naming the mount and what is wrong with it
 */
export async function prepareVolumes(
  context: RuntimeContext,
  pair: ContainerInPod,
  { image, signal }: { image: OciImageConfig; signal: AbortSignal },
): Promise<OciMount[]> {
  const mounts: OciMount[] = [];
  for (const [index, mount] of pair.container.config.mounts.entries())
    mounts.push(await prepareMount(context, pair, { mount, index, signal }));
  return [...mounts, ...(await anonymousVolumes(context, pair, { image, signal }))];
}

async function prepareMount(
  context: RuntimeContext,
  pair: ContainerInPod,
  { mount, index, signal }: { mount: Mount; index: number; signal: AbortSignal },
): Promise<OciMount> {
  const refuse = refuseMount(mount, index);
  if (mount.image !== undefined)
    return volumeMount(mount, mountImageVolume(context, pair, { mount, index, refuse }), refuse);
  if (mount.imageSubPath !== '') throw refuse('image_sub_path needs image');
  const source = await hostSource(mount, refuse, { hostPaths: context.hostPaths, signal });
  const made = volumeMount(mount, source.path, refuse);
  if (!wantsIdMap(pair.sandbox, mount, refuse)) return made;
  return { ...made, source: await planIdMappedMount(context, pair, { source, index, refuse }) };
}
