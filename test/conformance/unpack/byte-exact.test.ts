/**
 * Images with every kind and order of entries, unpacked by us, by umoci and by containerd: the same tree, or a difference that
 * docs/images-unpack.md explains.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { type ImageStore, openImageStore } from '@amphipod/images';
import { buildImageLayout } from '@amphipod/images/testing';
import { unmount } from '@amphipod/linux';
import { makeScratch } from '../../cri/support/scratch.ts';
import { testImages } from './images.ts';
import { knownDifferences } from './known-differences.ts';
import { containerd, type Unpacker, umoci } from './peers.ts';
import { differences, listTree, type TreeList } from './tree-list.ts';

const scratch = makeScratch('unpack');
const images = testImages(scratch.dir);
const versionOf = (program: string): string => {
  try {
    return execFileSync(program, ['--version'], { encoding: 'utf8' });
  } catch {
    return '';
  }
};
const [umociVersion, containerdVersion] = [versionOf('umoci'), versionOf('containerd')];

describe('byte-exact', () => {
  const stack = new AsyncDisposableStack();
  const peers: Unpacker[] = [];
  let store: ImageStore;
  before(async () => {
    stack.use(scratch);
    store = stack.use(await openImageStore({ root: `${scratch.dir}/store` }));
    if (umociVersion !== '') peers.push(stack.use(umoci(`${scratch.dir}/umoci`)));
    if (containerdVersion !== '') peers.push(stack.use(await containerd(`${scratch.dir}/containerd`)));
  });
  after(() => stack[Symbol.asyncDispose]());

  test('there are 30 images or more', () => assert.ok(Object.keys(images).length >= 30));
  for (const [program, version] of Object.entries({ umoci: umociVersion, containerd: containerdVersion })) {
    test(`${program} takes part`, { skip: version === '' && `${program} is not installed` }, () =>
      assert.match(version, /[0-9]+\.[0-9]+/),
    );
  }

  for (const [number, [name, layers]] of Object.entries(images).entries()) {
    test(`unpacked alike: ${name}`, async () => {
      const layout = `${scratch.dir}/layout-${number}`;
      const reference = `localhost/unpack:${number}`;
      buildImageLayout(layout, { layers, name: reference });
      const ours = await unpackOurs(layout, `${scratch.dir}/ours-${number}`);
      for (const peer of peers) compare(name, peer, ours, await outcome(peer, layout, reference));
    });
  }

  async function unpackOurs(layout: string, dir: string): Promise<TreeList> {
    const [image] = await store.load({ kind: 'oci-layout', path: layout });
    const target = `${dir}/rootfs`;
    store.mountRootfs(image!.id, { upperDir: `${dir}/upper`, workDir: `${dir}/work`, target });
    try {
      return listTree(target);
    } finally {
      unmount(target);
    }
  }
});

async function outcome(peer: Unpacker, layout: string, reference: string): Promise<TreeList | Error> {
  try {
    return await peer.unpack(layout, reference);
  } catch (error) {
    return error as Error;
  }
}

/** Fails for what nobody has explained. A difference that has gone, in a newer peer, is fine. */
function compare(image: string, peer: Unpacker, ours: TreeList, theirs: TreeList | Error): void {
  const known = knownDifferences.filter(
    ({ peer: name, images: names }) => name === peer.name && (names?.includes(image) ?? true),
  );
  if (theirs instanceof Error) {
    assert.ok(
      known.some(({ paths }) => paths === 'refused'),
      `${peer.name} refuses the image: ${theirs.message}`,
    );
    return;
  }
  const unexplained = [...differences(ours, theirs)].filter(
    ([path]) => !known.some(({ paths }) => paths !== 'refused' && paths.test(path)),
  );
  assert.deepEqual(unexplained, [], `${peer.name} has another tree`);
}
