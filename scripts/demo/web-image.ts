import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { buildImageLayout, type Entry, writeTar } from '@amphipod/images/testing';

/** Name of the image in the archive. */
export const webImageName = 'localhost/hello:latest';

// httpd runs as a child so that SIGTERM ends it: process 1 of a container gets no signal that it does not handle.
const server = 'httpd -f -v -p 80 -h /www & trap "kill $!" TERM; wait';

/**
 * Writes an OCI archive with a small web server, made of the statically linked busybox of this machine.
 * @returns size of the archive in bytes
 */
export function writeWebImage(directory: string, archive: string): number {
  buildImageLayout(directory, {
    name: webImageName,
    compression: 'none',
    layers: [layer(findBusybox())],
    config: {
      Cmd: ['sh', '-c', server],
      Env: ['PATH=/bin'],
      ExposedPorts: { '80/tcp': {} },
      WorkingDir: '/www',
    },
  });
  const files = readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((file) => file.isFile())
    .map((file) => join(file.parentPath, file.name));
  const tar = writeTar(files.map((file) => ({ path: relative(directory, file), data: readFileSync(file) })));
  writeFileSync(archive, tar);
  return tar.length;
}

function findBusybox(): string {
  const found = ['/bin/busybox', '/usr/bin/busybox'].find((path) =>
    statSync(path, { throwIfNoEntry: false }),
  );
  if (found === undefined) throw new Error('build image: no busybox: apt-get install busybox-static');
  // The image holds no C library.
  if (readFileSync(found).includes('/ld-linux')) {
    throw new Error(`build image: ${found} is dynamically linked: apt-get install busybox-static`);
  }
  return found;
}

function layer(busybox: string): Entry[] {
  const applets = execFileSync(busybox, ['--list'], { encoding: 'utf8' }).split('\n');
  return [
    ...['bin', 'etc', 'proc', 'sys', 'dev', 'root', 'www'].map((path) => ({
      path,
      type: 'directory' as const,
    })),
    { path: 'tmp', type: 'directory', mode: 0o1777 },
    { path: 'bin/busybox', data: readFileSync(busybox), mode: 0o755 },
    ...applets
      .filter((name) => name !== '' && name !== 'busybox')
      .map((name) => ({ path: `bin/${name}`, type: 'symlink' as const, linkPath: 'busybox', mode: 0o777 })),
    { path: 'etc/passwd', data: 'root:x:0:0:root:/root:/bin/sh\n' },
    { path: 'etc/group', data: 'root:x:0:\n' },
    { path: 'www/index.html', data: '<!doctype html>\n<title>Amphipod</title>\n<h1>Hello from a pod</h1>\n' },
  ];
}
