import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { buildImageLayout, type Entry, type ImageSpec } from '@amphipod/images/testing';
import { staticCompilers } from '../../scripts/compilers.ts';
import { appletLinks } from '../cri/support/test-images.ts';
import { type DebianTree, unpackDebianPackages } from './debian-tree.ts';

/** An image that critest asks for by this name: `REGISTRY/REPOSITORY[:TAG]`. */
export interface CritestImage {
  /** Without the registry; all registries are mirrored by one. */
  repository: string;
  tags: string[];
  dir: string;
  manifestDigest: string;
}

const staging = 'k8s-staging-cri-tools';
const e2e = 'e2e-test-images';

const passwd = `root:x:0:0:root:/root:/bin/sh
www-data:x:33:33:www-data:/var/www:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
`;
const group = `root:x:0:
www-data:x:33:
nogroup:x:65534:
`;

/**
 * Makes every image that critest uses from programs of Debian packages: upstream's cannot be had without its registries.
 * What is in them is what the specs look at (pkg/validate and images/ of cri-tools).
 */
export function buildCritestImages(dir: string): CritestImage[] {
  const debian = unpackDebianPackages(`${dir}/debian`, [
    // Unlike busybox-static's, its shell runs /bin/ls from the file, which a spec masks.
    'busybox',
    // pgrep and ipcs, which Debian's busybox has not.
    'procps',
    'util-linux',
    'nginx',
  ]);
  const busybox = busyboxLayer(debian);
  const images: CritestImage[] = [];
  const add = (
    repository: string,
    tags: string[],
    spec: Omit<ImageSpec, 'layers'> & { layers?: Entry[][] },
  ) => {
    const layout = `${dir}/images/${images.length}`;
    const { manifestDigest } = buildImageLayout(layout, {
      ...spec,
      name: `${repository}:${tags[0]}`,
      layers: [busybox, ...(spec.layers ?? [])],
      config: { Env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin'], Cmd: ['sh'], ...spec.config },
    });
    images.push({ repository, tags, dir: layout, manifestDigest });
  };
  const marker = (name: string): Entry[][] => [[{ path: name, data: `${name}\n` }]];

  add(`${e2e}/busybox`, ['1.29-2'], {});
  add(`${e2e}/nginx`, ['1.14-2'], { layers: [nginxLayer(debian, 80)], config: { Cmd: nginxCommand } });
  add(`${staging}/hostnet-nginx-${goArchitecture()}`, ['latest'], {
    layers: [nginxLayer(debian, 12003)],
    config: { Cmd: nginxCommand },
  });
  add(`${e2e}/httpd`, ['2.4.39-4'], {
    layers: [[{ path: 'var/www/index.html', data: 'it works\n' }]],
    config: { Cmd: ['sh', '-c', 'echo httpd: serving; exec httpd -f -v -p 80 -h /var/www'] },
  });
  add(`${e2e}/nonewprivs`, ['1.3'], {
    layers: [[{ path: 'usr/bin/nnp', mode: 0o6755, data: compileNnp(dir) }]],
    config: { Cmd: ['nnp'] },
  });
  add('pause', ['3.9'], { layers: marker('pause'), config: { Entrypoint: ['sleep', '1000000'], Cmd: [] } });
  for (const name of ['latest', 'digest'])
    add(`${staging}/test-image-${name}`, ['latest'], { layers: marker(name) });
  for (const tag of ['test', 'all'])
    add(`${staging}/test-image-tag`, [tag], { layers: marker(`tag-${tag}`) });
  for (const number of [1, 2, 3])
    add(`${staging}/test-image-${number}`, ['latest'], { layers: marker(`image-${number}`) });
  add(`${staging}/test-image-tags`, ['1', '2', '3'], { layers: marker('tags') });
  const users = {
    uid: '1002',
    username: 'www-data',
    'uid-group': '1003:1004',
    'username-group': 'www-data:1004',
  };
  for (const [name, User] of Object.entries(users))
    add(`${staging}/test-image-user-${name}`, ['latest'], {
      layers: marker(`user-${name}`),
      config: { User },
    });
  add(`${staging}/test-image-predefined-group`, ['latest'], {
    layers: [
      [
        { path: 'etc/passwd', data: `${passwd}default-user:x:1000:1000::/home:/bin/sh\n` },
        {
          path: 'etc/group',
          data: `${group}default-user:x:1000:\ngroup-defined-in-image:x:50000:default-user\n`,
        },
      ],
    ],
    config: { User: '1000' },
  });
  return images;
}

/** Every applet as a hard link: masking one leaves the others. */
function busyboxLayer(debian: DebianTree): Entry[] {
  const applets = debian.output('/bin/busybox', '--list').trim().split('\n');
  const below = ['usr', 'usr/bin', 'var', 'var/lib', 'var/www'];
  const dirs = ['bin', 'etc', 'home', 'proc', 'root', 'run', 'sys', 'dev', ...below];
  return [
    ...dirs.map((path): Entry => ({ path, type: 'directory' })),
    { path: 'tmp', type: 'directory', mode: 0o1777 },
    { path: 'var/run', type: 'symlink', linkPath: '/run' },
    ...debian.programs('/bin/busybox', '/usr/bin/pgrep', '/usr/bin/ipcs'),
    ...appletLinks(applets),
    { path: 'etc/passwd', data: passwd },
    { path: 'etc/group', data: group },
  ];
}

const nginxCommand = ['nginx', '-g', 'daemon off;'];

function nginxLayer(debian: DebianTree, port: number): Entry[] {
  const dirs = ['usr/sbin', 'etc/nginx', 'var/log', 'var/log/nginx', 'var/lib/nginx'];
  return [
    ...dirs.map((path): Entry => ({ path, type: 'directory' })),
    ...debian.programs('/usr/sbin/nginx'),
    {
      path: 'etc/nginx/nginx.conf',
      data: `worker_processes 1;
error_log /dev/stderr;
pid /run/nginx.pid;
events {}
http { access_log off; server { listen ${port}; location / { return 200 "ok\\n"; } } }
`,
    },
  ];
}

/** A program that says as whom it runs; made setuid in its image. Static, as the plugins' launcher. */
function compileNnp(dir: string): Buffer {
  const source = `${dir}/nnp.c`;
  writeFileSync(
    source,
    '#include <stdio.h>\n#include <unistd.h>\nint main(void) { printf("Effective uid: %d\\n", geteuid()); return 0; }\n',
  );
  const file = `${dir}/nnp`;
  const reasons: string[] = [];
  for (const [program, ...args] of staticCompilers(source)) {
    const { status, stderr, error } = spawnSync(program, [...args, '-o', file], { encoding: 'utf8' });
    if (status === 0) return readFileSync(file);
    reasons.push(`${program}: ${error?.message ?? stderr.trim()}`);
  }
  throw new Error(`compile ${source}: ${reasons.join('; ')}`);
}

function goArchitecture(): string {
  return process.arch === 'x64' ? 'amd64' : process.arch;
}
