import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { buildImageLayout } from '@amphipod/images/testing';
import { startAmphipod } from '../../test/cri/support/amphipod.ts';
import { type Samples, timed } from './samples.ts';

const imageCount = 1000;

/** ImageStatus and ListImages of our daemon with a thousand images in its store. */
export async function imageQueries(dir: string, samples: Samples, count: number): Promise<void> {
  const layout = `${dir}/thousand`;
  const manifests = Array.from({ length: imageCount }, (_, i) => {
    const name = `localhost/thousand/image-${i}:v1`;
    const layers = [[{ path: 'common', data: 'x' }]];
    const { manifestDigest } = buildImageLayout(layout, {
      name,
      layers,
      config: { Labels: { number: `${i}` } },
    });
    return { manifestDigest, name };
  });
  const index = manifests.map(({ manifestDigest, name }) => ({
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: manifestDigest,
    size: statSync(`${layout}/blobs/${manifestDigest.replace(':', '/')}`).size,
    annotations: { 'org.opencontainers.image.ref.name': name },
  }));
  writeFileSync(`${layout}/index.json`, JSON.stringify({ schemaVersion: 2, manifests: index }));
  const own = `${dir}/queries`;
  mkdirSync(own);
  await using server = await startAmphipod({ dir: own });
  const { cri } = server;
  await cri.pullImage({ image: { image: `oci:${layout}` } });
  const { images } = await cri.listImages();
  if (images.length !== imageCount)
    throw new Error(`load images: ${images.length} of ${imageCount} are there`);
  for (let i = -20; i < count; i++) {
    const image = `localhost/thousand/image-${(i + imageCount) % imageCount}:v1`;
    const status = await timed(() => cri.imageStatus({ image: { image } }));
    const list = await timed(() => cri.listImages());
    if (i < 0) continue;
    samples.add('ImageStatus1000', 'ours', status.ms);
    samples.add('ListImages1000', 'ours', list.ms);
  }
}
