import { execFileSync } from 'node:child_process';
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  symlinkSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Entry } from '@amphipod/images/testing';

/** Files of Debian packages below a directory, without installing them on this machine. */
export interface DebianTree {
  /** Programs with the shared libraries that they need, as entries of a layer at the same paths. */
  programs(...paths: string[]): Entry[];
  /** What a program of the tree prints. */
  output(...command: string[]): string;
}

/** Downloads the packages and all that they depend on, and takes them apart below `dir`. */
export function unpackDebianPackages(dir: string, packages: readonly string[]): DebianTree {
  const root = `${dir}/tree`;
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    mkdirSync(`${root}/usr/${name}`, { recursive: true });
    symlinkSync(`usr/${name}`, `${root}/${name}`);
  }
  for (const archive of download(dir, packages)) {
    // Not dpkg -x: it would put a directory in the place of the symlinks of a merged /usr.
    const tar = execFileSync('dpkg-deb', ['--fsys-tarfile', archive], { maxBuffer: 1 << 30 });
    execFileSync('tar', ['-x', '-C', root, '--keep-directory-symlink'], { input: tar });
  }
  return {
    programs: (...paths) => {
      const libraries = paths.flatMap((path) => librariesOf(root, path));
      return [...new Set([...paths, ...libraries])].map((path) => fileEntry(root, path));
    },
    output: (...command) => execFileSync('chroot', [root, ...command], { encoding: 'utf8' }),
  };
}

/** Paths of the archives. An empty status file makes apt take all dependencies, as for an empty machine. */
function download(dir: string, packages: readonly string[]): string[] {
  mkdirSync(`${dir}/archives/partial`, { recursive: true });
  const apt = [
    ...['-q', '-y', '--download-only', '--no-install-recommends'],
    ...['-o', 'Dir::State::status=/dev/null', '-o', `Dir::Cache::archives=${dir}/archives`],
    ...['-o', 'APT::Sandbox::User=root', '-o', 'Debug::NoLocking=1'],
  ];
  execFileSync('apt-get', [...apt, 'install', ...packages], { stdio: ['ignore', 'ignore', 'inherit'] });
  return readdirSync(`${dir}/archives`)
    .filter((name) => name.endsWith('.deb'))
    .map((name) => `${dir}/archives/${name}`);
}

/** Absolute paths in the tree, from the program's own loader. */
function librariesOf(root: string, program: string): string[] {
  const loader = loaderOf(root, program);
  const text = execFileSync('chroot', [root, loader, '--list', program], { encoding: 'utf8' });
  const found = [...text.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map(([, path]) => path!);
  return [...new Set([loader, ...found])];
}

/** Of the architecture: `/lib64/ld-linux-x86-64.so.2`, `/lib/ld-linux-aarch64.so.1`. */
function loaderOf(root: string, program: string): string {
  const text = readFileSync(`${root}${program}`).toString('latin1');
  const loader = /\/lib[0-9]*\/ld-linux[-a-z0-9_.]*/.exec(text)?.[0];
  if (loader === undefined) throw new Error(`${program} is not a dynamically linked program`);
  return loader;
}

/** What a path leads to, in the tree as if it were the root. */
function fileEntry(root: string, path: string): Entry {
  return { path: path.slice(1), mode: 0o755, data: readFileSync(inRoot(root, path)) };
}

function inRoot(root: string, path: string): string {
  const real = `${realpathSync(dirname(`${root}${path}`))}/${basename(path)}`;
  if (!lstatSync(real).isSymbolicLink()) return real;
  const target = readlinkSync(real);
  return inRoot(root, target.startsWith('/') ? target : join(dirname(real), target).slice(root.length));
}
