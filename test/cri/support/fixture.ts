import { mkdirSync } from 'node:fs';
import { after, before } from 'node:test';
import { startAmphipod } from './amphipod.ts';
import type { Cri } from './client.ts';
import { startContainerd } from './containerd.ts';
import { removeCgroups } from './pods.ts';
import { makeScratch, type Scratch } from './scratch.ts';
import type { CriServer, ServerOptions } from './server.ts';
import { type BusyboxOptions, buildBusyboxImage, type TestImage } from './test-images.ts';

export type SubjectName = 'amphipod' | 'containerd';

/**
 * The servers that a suite runs on. containerd is there to prove the suite itself: what it fails is a wrong expectation
 * or a difference that the test names. AMPHIPOD_TEST_SUBJECTS=containerd,… picks some.
 */
export const subjects: SubjectName[] = (process.env.AMPHIPOD_TEST_SUBJECTS ?? 'amphipod,containerd')
  .split(',')
  .filter((name): name is SubjectName => name === 'amphipod' || name === 'containerd');

export function startSubject(name: SubjectName, options: ServerOptions & { registries?: string[] }) {
  switch (name) {
    case 'amphipod':
      return startAmphipod(options);
    case 'containerd':
      return startContainerd(options);
  }
}

/** What the tests of one suite share; filled before the first of them. */
export interface Fixture {
  readonly server: CriServer;
  readonly cri: Cri;
  /** The busybox image, loaded. */
  readonly image: TestImage;
  /** A directory that is removed at the end. */
  readonly dir: string;
}

/**
 * Starts a server with the busybox image before the tests of the enclosing suite and removes everything after them.
 * @param options may depend on the server's directory
 */
export function useServer(
  name: SubjectName,
  options: Partial<ServerOptions> | ((dir: string) => Partial<ServerOptions>) = {},
): Fixture {
  let scratch: Scratch;
  let server: CriServer;
  let image: TestImage;
  before(async () => {
    scratch = makeScratch(`test-${name}`);
    image = buildBusyboxImage(`${scratch.dir}/image`);
    mkdirSync(`${scratch.dir}/server`);
    const dir = `${scratch.dir}/server`;
    server = await startSubject(name, { dir, ...(typeof options === 'function' ? options(dir) : options) });
    await server.loadImage(image.dir, image.name);
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    await removeCgroups();
    scratch?.[Symbol.dispose]();
  });
  return {
    get server() {
      return server;
    },
    get cri() {
      return server.cri;
    },
    get image() {
      return image;
    },
    get dir() {
      return scratch.dir;
    },
  };
}

/** A busybox image with other files or another configuration, loaded as `localhost/amphipod-test/NAME:v1`. */
export async function loadVariant(
  { server, dir }: Fixture,
  name: string,
  options: Omit<BusyboxOptions, 'name'>,
): Promise<TestImage> {
  const image = buildBusyboxImage(`${dir}/${name}`, {
    ...options,
    name: `localhost/amphipod-test/${name}:v1`,
  });
  await server.loadImage(image.dir, image.name);
  return image;
}
