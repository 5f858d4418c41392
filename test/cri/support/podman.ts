import { existsSync, globSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { unmount } from '@amphipod/linux';
import { allCgroups } from './pods.ts';
import { run } from './program.ts';

export interface PodmanOptions {
  /** An existing directory on a real disk. */
  dir: string;
  /** The only directory with CNI plugins that podman knows. */
  cniBinDir: string;
  /** The text of a configuration list, and the name of its network. */
  conflist: string;
  network: string;
}

/** Debian's podman with everything below a directory, and CNI as its network. */
export interface Podman extends AsyncDisposable {
  /** Runs a command of podman; gives what it prints. @throws Error with its words */
  run(...args: string[]): Promise<string>;
}

/** What podman and libcni keep where no setting reaches: hidden under file systems in memory. */
const fixedDirs = ['/var/lib/containers', '/var/lib/cni'];

/** Prepares podman; it has no daemon. Run it in a mount namespace of its own. */
export async function preparePodman(options: PodmanOptions): Promise<Podman> {
  const { dir } = options;
  const cgroupParent = `/amphipod-podman-${process.pid}`;
  writeSettings(options);
  const made = fixedDirs.filter((path) => !existsSync(path));
  for (const path of fixedDirs) {
    mkdirSync(path, { recursive: true });
    await run(['mount', '-t', 'tmpfs', 'tmpfs', path]);
  }
  const env = {
    ...process.env,
    CONTAINERS_CONF: `${dir}/containers.conf`,
    CONTAINERS_STORAGE_CONF: `${dir}/storage.conf`,
  };
  const podman = async (...args: string[]) => (await run(['podman', ...args], { env })).trim();
  return {
    run(command, ...args) {
      // Its own limits are above what a process without CAP_SYS_RESOURCE may set.
      const limits = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'];
      const ownArgs = command === 'run' ? [...limits, '--cgroup-parent', cgroupParent] : [];
      return podman(command!, ...ownArgs, ...args);
    },
    async [Symbol.asyncDispose]() {
      await podman('rm', '--all', '--force', '--time', '0').catch((error) =>
        process.stderr.write(`${error}\n`),
      );
      unmount(`${dir}/root/overlay`);
      for (const path of fixedDirs) unmount(path);
      for (const path of made) rmdirSync(path);
      removeCgroupTree(cgroupParent);
    },
  };
}

function writeSettings({ dir, cniBinDir, conflist, network }: PodmanOptions): void {
  mkdirSync(`${dir}/net.d`, { recursive: true });
  writeFileSync(`${dir}/net.d/10-${network}.conflist`, conflist);
  writeFileSync(
    `${dir}/containers.conf`,
    `[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
runtime = "runc"
tmp_dir = "${dir}/tmp"
[network]
network_backend = "cni"
cni_plugin_dirs = ["${cniBinDir}"]
network_config_dir = "${dir}/net.d"
default_network = "${network}"
`,
  );
  writeFileSync(
    `${dir}/storage.conf`,
    `[storage]
driver = "overlay"
graphroot = "${dir}/root"
runroot = "${dir}/runroot"
`,
  );
}

function removeCgroupTree(parent: string): void {
  for (const mountPoint of new Set(allCgroups().mounts.values())) {
    const groups = [`${mountPoint}${parent}`, ...globSync(`${mountPoint}${parent}/**/`)];
    for (const path of [...new Set(groups.map((path) => path.replace(/\/$/, '')))].sort().reverse()) {
      if (existsSync(path)) rmdirSync(path);
    }
  }
}
