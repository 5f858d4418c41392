import { mkdirSync } from 'node:fs';
import { cgroupPids, detectCgroups } from '@amphipod/linux';
import { processesNaming, referencePluginDir, startAmphipod } from '../../test/cri/support/amphipod.ts';
import { shimsOf, startContainerd } from '../../test/cri/support/containerd.ts';
import { cgroupRoot } from '../../test/cri/support/pods.ts';
import type { CriServer } from '../../test/cri/support/server.ts';
import type { TestImage } from '../../test/cri/support/test-images.ts';
import type { Side } from './samples.ts';

/** A CRI server under measurement. */
export interface Subject extends AsyncDisposable {
  side: Side;
  server: CriServer;
  image: TestImage;
  /** Parent of its pods' cgroups. */
  cgroup: string;
  /** "containerd 1.6.20" */
  version: string;
  /** The daemon and the processes that it needs beside each container: shims, monitors. */
  helperPids(): number[];
  /** Processes of the containers, and pause processes. */
  containerPids(): number[];
}

/** Starts one side in `dir` with the image loaded. */
export async function startSubject(
  side: Side,
  { dir, image, nodeFlags = [] }: { dir: string; image: TestImage; nodeFlags?: string[] },
): Promise<Subject> {
  mkdirSync(dir);
  const server = await (side === 'ours'
    ? startAmphipod({ dir, nodeFlags })
    : startContainerd({ dir, cniBinDirs: [referencePluginDir] }));
  await server.loadImage(image.dir, image.name);
  const { runtimeName, runtimeVersion } = await server.cri.version();
  const cgroups = detectCgroups();
  const cgroup = `${cgroupRoot}/${side}`;
  return {
    side,
    server,
    image,
    cgroup,
    version: `${runtimeName} ${runtimeVersion.replace(/[~+].*/, '')}`,
    helperPids: () => [
      server.program().pid,
      ...(side === 'ours' ? processesNaming(`${dir}/`) : shimsOf(dir)),
    ],
    containerPids: () => cgroupPids(cgroups, cgroup),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
