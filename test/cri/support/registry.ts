import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { run, startProgram } from './program.ts';
import type { TestImage } from './test-images.ts';
import { eventually } from './wait.ts';

/** Debian's docker-registry on loopback, plain HTTP. */
export interface Registry extends AsyncDisposable {
  /** "127.0.0.1:PORT" */
  readonly host: string;
  /** Copies an image into it; returns the reference to pull it by. */
  push(image: TestImage, repositoryAndTag: string): Promise<string>;
}

/** Starts a registry that keeps its data below `dir`. */
export async function startRegistry(dir: string): Promise<Registry> {
  mkdirSync(dir, { recursive: true });
  const host = `127.0.0.1:${await freePort()}`;
  writeFileSync(
    `${dir}/registry.yml`,
    `version: 0.1\nlog: {level: warn}\nstorage: {filesystem: {rootdirectory: ${dir}/data}}\nhttp: {addr: "${host}"}\n`,
  );
  const program = await startProgram(
    ['docker-registry', 'serve', `${dir}/registry.yml`],
    `${dir}/registry.log`,
  );
  await eventually('the registry', async () => (await fetch(`http://${host}/v2/`)).ok);
  return {
    host,
    async push(image, repositoryAndTag) {
      const reference = `${host}/${repositoryAndTag}`;
      // containers-policy.json is not on every machine, and the destination speaks plain HTTP.
      await run([
        ...[
          'skopeo',
          '--insecure-policy',
          'copy',
          '--quiet',
          '--preserve-digests',
          '--dest-tls-verify=false',
        ],
        ...[`oci:${image.dir}:${image.name}`, `docker://${reference}`],
      ]);
      return reference;
    },
    [Symbol.asyncDispose]: () => program.end(),
  };
}

/** A TCP port of 127.0.0.1 that nothing listens on. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
