import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import type { TestContext } from 'node:test';
import { type Image, type ImageStore, openImageStore, type RootfsMount } from '@amphipod/images';
import { buildImageLayout, type Entry, type ImageSpec, writeTar } from '@amphipod/images/testing';
import { unmount } from '@amphipod/linux';
import { type UnpackResult, unpackTar } from '../../packages/images/src/unpack/unpack-tar.ts';

/** A directory that goes with the test. */
export function scratch(t: TestContext): string {
  const dir = mkdtempSync(`${tmpdir()}/amphipod-images-`);
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Unpacks entries, or an archive, as a layer into a new directory. */
export async function unpackLayer(
  dir: string,
  layer: readonly Entry[] | Buffer,
): Promise<UnpackResult & { root: string }> {
  const root = `${dir}/root-${counter.next++}`;
  mkdirSync(root);
  return { ...(await unpackInto(root, dir, layer)), root };
}

/** The same into an existing directory. */
export function unpackInto(
  root: string,
  dir: string,
  layer: readonly Entry[] | Buffer,
): Promise<UnpackResult> {
  const path = `${dir}/layer-${counter.next++}.tar`;
  writeFileSync(path, Buffer.isBuffer(layer) ? layer : writeTar(layer as Entry[]));
  return unpackTar({ path, dir: root, kind: 'layer' });
}

const counter = { next: 1 };

/** `path type mode uid:gid nlink size mtime -> link`, one line for each file of a tree, sorted. */
export function listTree(root: string, format = '%P %y %m %U:%G %s -> %l'): string[] {
  const text = execFileSync('find', [root, '-mindepth', '1', '-printf', `${format}\n`], { encoding: 'utf8' });
  return text
    .split('\n')
    .filter((line) => line !== '')
    .sort();
}

export async function openStore(
  t: TestContext,
  options: Omit<Parameters<typeof openImageStore>[0], 'root'> & { root?: string } = {},
): Promise<ImageStore & { root: string }> {
  const root = options.root ?? `${scratch(t)}/store`;
  const store = await openImageStore({ ...options, root });
  t.after(() => store.close());
  return Object.assign(store, { root });
}

/** Builds an image and loads it. */
export async function loadBuilt(store: ImageStore, dir: string, spec: ImageSpec): Promise<Image> {
  const layout = `${dir}/layout-${counter.next++}`;
  buildImageLayout(layout, spec);
  return (await store.load({ kind: 'oci-layout', path: layout }))[0]!;
}

/** Mounts an image's root file system until the test is over. */
export function mountImage(
  t: TestContext,
  store: ImageStore,
  id: string,
  options: Pick<RootfsMount, 'idMap'> = {},
): string {
  const dir = mkdtempSync(`${tmpdir()}/amphipod-rootfs-`);
  const target = `${dir}/rootfs`;
  t.after(() => {
    unmount(target);
    rmSync(dir, { recursive: true, force: true });
  });
  store.mountRootfs(id, { upperDir: `${dir}/upper`, workDir: `${dir}/work`, target, ...options });
  return target;
}
