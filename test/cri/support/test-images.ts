import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { buildImageLayout, type Entry } from '@amphipod/images/testing';

/** An image in an OCI layout directory. */
export interface TestImage {
  dir: string;
  /** Full name with tag. */
  name: string;
  /** Digest of the config: the id that a CRI server must give it. */
  id: string;
  manifestDigest: string;
}

const passwd = `root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
app:x:1000:1001:app:/home/app:/bin/sh
`;
const group = `root:x:0:
nogroup:x:65534:
app:x:1001:
extra:x:50000:app
`;

/** A container process that does nothing and ends at once, with code 0, on SIGTERM; also as PID 1. */
export const idleCommand = ['sh', '-c', 'trap "exit 0" TERM; sleep 1000000 & wait'];

/** Extra settings and files of a busybox image. */
export interface BusyboxOptions {
  name?: string;
  config?: NonNullable<Parameters<typeof buildImageLayout>[1]['config']>;
  platform?: { os: string; architecture: string };
  extra?: Entry[];
}

/**
 * Debian's static busybox with every applet as a hard link, a web page, and users `nobody` and `app` (1000:1001, also in
 * group 50000). Its default command is `sh`.
 */
export function buildBusyboxImage(dir: string, options: BusyboxOptions = {}): TestImage {
  const name = options.name ?? 'localhost/amphipod-test/busybox:latest';
  const applets = execFileSync('busybox', ['--list'], { encoding: 'utf8' }).trim().split('\n');
  const dirs = ['bin', 'etc', 'root', 'home', 'home/app', 'tmp', 'var', 'var/www', 'proc', 'sys', 'dev'];
  const layer: Entry[] = [
    ...dirs.map((path): Entry => ({ path, type: 'directory', mode: path === 'tmp' ? 0o1777 : 0o755 })),
    { path: 'bin/busybox', mode: 0o755, data: readFileSync('/bin/busybox') },
    ...appletLinks(applets),
    { path: 'etc/passwd', data: passwd },
    { path: 'etc/group', data: group },
    { path: 'var/www/index.html', data: 'hello from amphipod\n' },
    ...(options.extra ?? []),
  ];
  const built = buildImageLayout(dir, {
    name,
    layers: [layer],
    config: { Env: ['PATH=/bin', 'FROM_IMAGE=yes'], Cmd: ['sh'], ...options.config },
    ...(options.platform && { platform: options.platform }),
  });
  return { dir, name, ...built };
}

/** The names of `busybox --list` as hard links to bin/busybox: one that is masked leaves the others. */
export function appletLinks(applets: readonly string[]): Entry[] {
  return applets
    .filter((applet) => applet !== 'busybox')
    .map((applet) => ({ path: `bin/${applet}`, type: 'hardlink', linkPath: 'bin/busybox', mode: 0o755 }));
}

/** The sandbox image that containerd needs: Debian's catatonit, which in mode -P only waits. */
export function buildPauseImage(dir: string): TestImage {
  const name = 'localhost/amphipod-test/pause:latest';
  const built = buildImageLayout(dir, {
    name,
    layers: [[{ path: 'catatonit', mode: 0o755, data: readFileSync('/usr/bin/catatonit') }]],
    config: { Entrypoint: ['/catatonit', '-P'] },
  });
  return { dir, name, ...built };
}

const base: Entry[] = [{ path: 'base', data: randomBytes(300_000) }];

/** An image to look at and move around, not to run: a layer that all of them share, and one with `top` in it. */
export function buildSmallImage(dir: string, name: string, top: string): TestImage {
  const config = { Cmd: ['/x'], Env: ['A=b'] };
  const built = buildImageLayout(dir, { layers: [base, [{ path: 'top', data: top }]], name, config });
  return { dir, name, ...built };
}
