import { mkdirSync } from 'node:fs';
import { unmount } from '@amphipod/linux';
import { run } from '../../cri/support/program.ts';
import { startImageContainerd } from '../../kernel/images-containerd.ts';
import { listTree, type TreeList } from './tree-list.ts';

/** Another program that unpacks images. */
export interface Unpacker extends AsyncDisposable {
  name: 'umoci' | 'containerd';
  /** The tree of an image in an OCI layout. @throws Error with the program's words when it refuses the image */
  unpack(layoutDir: string, name: string): Promise<TreeList>;
}

/** Debian's umoci, which unpacks layer upon layer into one directory. */
export function umoci(dir: string): Unpacker {
  mkdirSync(dir);
  let number = 0;
  return {
    name: 'umoci',
    async unpack(layoutDir, name) {
      const bundle = `${dir}/${number++}`;
      await run(['umoci', 'unpack', '--image', `${layoutDir}:${name}`, bundle]);
      return listTree(`${bundle}/rootfs`);
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

/** Debian's containerd with its overlay snapshotter, everything of it below `dir`. */
export async function containerd(dir: string): Promise<Unpacker> {
  const server = await startImageContainerd(dir);
  const { ctr } = server;
  let number = 0;
  return {
    name: 'containerd',
    async unpack(layoutDir, name) {
      const target = `${dir}/mount-${number++}`;
      const archive = `${target}.tar`;
      await run(['tar', '-C', layoutDir, '-cf', archive, '.']);
      await ctr('images', 'import', '--snapshotter', 'overlayfs', archive);
      mkdirSync(target);
      await ctr('images', 'mount', '--snapshotter', 'overlayfs', name, target);
      try {
        return listTree(target);
      } finally {
        unmount(target);
      }
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
