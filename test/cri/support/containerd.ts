import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { killQuietly, mountInfo, unmount } from '@amphipod/linux';
import { connect } from './client.ts';
import { bridgeConflist, testNetwork } from './network.ts';
import { type Program, run, startProgram } from './program.ts';
import { type CriServer, removeAllPods, type ServerOptions, waitUntilServing } from './server.ts';
import { buildPauseImage } from './test-images.ts';
import { eventually } from './wait.ts';

export interface ContainerdOptions extends ServerOptions {
  /** Plain-HTTP registries on loopback, "127.0.0.1:5000". */
  registries?: string[];
}

/** Starts Debian's containerd with its CRI plugin, Debian's runc, and nothing outside `dir` but its shims' sockets. */
export async function startContainerd(options: ContainerdOptions): Promise<CriServer> {
  const { dir } = options;
  const socket = `${dir}/containerd.sock`;
  const confDir = `${dir}/net.d`;
  const ociRoot = `${dir}/runc`;
  writeConfiguration(options);
  const pause = buildPauseImage(`${dir}/pause-image`);
  const command = ['containerd', '--config', `${dir}/config.toml`];
  let program: Program;
  const server: CriServer = {
    name: 'containerd',
    dir,
    socket,
    confDir,
    ociRoot: `${ociRoot}/k8s.io`,
    command,
    cri: connect(socket),
    program: () => program,
    kill: (signal = 'SIGKILL') => program.end(signal),
    async start() {
      program = await startProgram(
        ['containerd', '--config', `${dir}/config.toml`],
        `${dir}/containerd.log`,
        {
          env: { ...process.env, ...options.env },
        },
      );
      await waitUntilServing(socket, program);
    },
    loadImage: (layoutDir, name) => importImage(server, layoutDir, name),
    async [Symbol.asyncDispose]() {
      await removeAllPods(server.cri).catch((error) => process.stderr.write(`${error}\n`));
      server.cri[Symbol.dispose]();
      await program.end();
      for (const pid of shimsOf(dir)) killQuietly(pid, 'SIGKILL');
      unmountBelow(dir);
    },
  };
  await server.start();
  await importImage(server, pause.dir, pause.name);
  return server;
}

function writeConfiguration(options: ContainerdOptions): void {
  const { dir, registries = [], cniBinDirs = ['/usr/lib/cni'] } = options;
  for (const sub of ['net.d', 'plugins', 'certs.d', 'runc']) mkdirSync(`${dir}/${sub}`, { recursive: true });
  const configs = options.cniConfigs ?? {
    '10-test.conflist': bridgeConflist(testNetwork(1), `${dir}/ipam`),
  };
  for (const [name, text] of Object.entries(configs)) writeFileSync(`${dir}/net.d/${name}`, text);
  for (const registry of registries) {
    mkdirSync(`${dir}/certs.d/${registry}`, { recursive: true });
    writeFileSync(
      `${dir}/certs.d/${registry}/hosts.toml`,
      `server = "http://${registry}"\n[host."http://${registry}"]\n  capabilities = ["pull", "resolve"]\n`,
    );
  }
  // containerd's CRI plugin knows one plugin directory, so several are joined by symbolic links; the first one wins.
  let binDir = cniBinDirs[0]!;
  if (cniBinDirs.length > 1) {
    binDir = `${dir}/cni-bin`;
    linkPrograms(cniBinDirs, binDir);
  }
  writeFileSync(`${dir}/config.toml`, configuration(dir, binDir));
}

function linkPrograms(from: string[], to: string): void {
  mkdirSync(to, { recursive: true });
  for (const source of from) {
    for (const name of readdirSync(source)) {
      if (existsSync(`${to}/${name}`)) continue;
      // A script, because a plugin may look for its companions beside its real path.
      writeFileSync(`${to}/${name}`, `#!/bin/sh\nexec ${realpathSync(`${source}/${name}`)} "$@"\n`, {
        mode: 0o755,
      });
    }
  }
}

/** restrict_oom_score_adj: without CAP_SYS_RESOURCE, runc may not lower the score of the sandbox. */
function configuration(dir: string, binDir: string): string {
  return `version = 2
root = "${dir}/root"
state = "${dir}/state"
plugin_dir = "${dir}/plugins"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "${dir}/containerd.sock"
[ttrpc]
  address = "${dir}/containerd.sock.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/amphipod-test/pause:latest"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${binDir}"
    conf_dir = "${dir}/net.d"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "${dir}/certs.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "${dir}/runc"
`;
}

async function importImage(server: CriServer, layoutDir: string, name: string): Promise<void> {
  const archive = `${server.dir}/import.tar`;
  await run(['tar', '-C', layoutDir, '-cf', archive, '.']);
  await run(['ctr', '--address', server.socket, '-n', 'k8s.io', 'images', 'import', archive]);
  // The CRI plugin learns of it by an event.
  await eventually(
    `image ${name}`,
    async () => (await server.cri.imageStatus({ image: { image: name } })).image,
  );
}

/** Pids of the containerd-shims that serve this containerd. */
export function shimsOf(dir: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        return argv[0]!.includes('containerd-shim') && argv.includes(`${dir}/containerd.sock`);
      } catch {
        return false;
      }
    });
}

/** Lazily unmounts everything below a directory, the newest mount first. */
export function unmountBelow(dir: string): void {
  for (const { mountPoint } of mountInfo().reverse()) {
    if (mountPoint.startsWith(`${dir}/`)) unmount(mountPoint);
  }
}
