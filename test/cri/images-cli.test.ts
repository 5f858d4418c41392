// The image commands of our own command line, with containerd's server where the call allows.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { projectDir } from './support/amphipod.ts';
import {
  endSessionsAfterEach,
  killSession,
  type SessionOptions,
  startSession,
} from './support/crictl-session.ts';
import { subjects, useServer } from './support/fixture.ts';
import { withContainer } from './support/pods.ts';
import { startRegistry } from './support/registry.ts';
import { buildSmallImage } from './support/test-images.ts';
import { eventually } from './support/wait.ts';

for (const subject of subjects) {
  describe(`amphipod image with ${subject}`, () => {
    const fixture = useServer(subject);
    endSessionsAfterEach();
    const amphipod = async (args: string[], options: SessionOptions = {}) => {
      const command = [`${projectDir}/bin/amphipod`, '--socket', fixture.server.socket, ...args];
      const { code, stdout, stderr } = await startSession(command, options).result;
      return { code, out: `${stdout}`, bytes: stdout, err: stderr };
    };
    const ok = async (args: string[], options: SessionOptions = {}) => {
      const result = await amphipod(args, options);
      assert.equal(result.code, 0, `${args.join(' ')}: ${result.err}`);
      return result;
    };
    const json = async (args: string[]) => JSON.parse((await ok([...args, '-o', 'json'])).out);

    test('images, image ls, image inspect, image rm', async () => {
      const image = buildSmallImage(`${fixture.dir}/seen`, 'localhost/seen:1', 'seen');
      await fixture.server.loadImage(image.dir, image.name);
      assert.match((await ok(['images'])).out, /localhost\/seen +1 +[0-9a-f]{12}/);
      const listed = await json(['image', 'ls']);
      assert.ok(listed.some(({ id }: { id: string }) => id === image.id));
      const [inspected] = await json(['image', 'inspect', 'localhost/seen:1']);
      assert.equal(inspected.id, image.id);
      assert.deepEqual(inspected.config.Cmd, ['/x']);
      assert.equal(inspected.layers.length, 2);
      assert.match(inspected.layers[1].diffId, /^sha256:[0-9a-f]{64}$/);
      const text = (await ok(['image', 'inspect', image.id])).out;
      assert.match(text, /\nCmd +\["\/x"\]\n/);
      assert.match(text, /\nLAYER +SIZE +UNPACKED/);
      const absent = await amphipod(['image', 'inspect', 'localhost/absent:1']);
      assert.deepEqual(
        [absent.code, absent.err],
        [125, 'amphipod: image inspect: no such image "localhost/absent:1"\n'],
      );
      await ok(['image', 'rm', 'localhost/seen:1']);
      assert.ok(!(await ok(['images', '-q'])).out.includes(image.id));
    });

    test('image prune removes what no container uses, image df counts it', async () => {
      const image = buildSmallImage(`${fixture.dir}/pruned`, 'localhost/pruned:1', 'pruned');
      await fixture.server.loadImage(image.dir, image.name);
      await withContainer(fixture, {}, async () => {
        const usage = await json(['image', 'df']);
        // containerd measures every ten seconds only.
        if (subject === 'amphipod') assert.ok(usage.images.usedBytes > 0);
        assert.deepEqual([usage.images.active, usage.containers.active], [1, 1]);
        assert.match((await ok(['image', 'df', '-v'])).out, /images +\d+ +1 +[\d.]+ .*\n[\s\S]*IMAGE ID/);
        const { removed } = await json(['image', 'prune', '--all', '--dry-run']);
        const ids = removed.map(({ id }: { id: string }) => id);
        assert.ok(ids.includes(image.id) && !ids.includes(fixture.image.id));
        assert.deepEqual((await json(['image', 'prune'])).removed, []);
        if (subject === 'containerd') return;
        // containerd would lose its pause image with it.
        assert.match(
          (await ok(['image', 'prune', '--all'])).err,
          /^1 images removed, [\d.]+ kB are free again\n$/,
        );
        assert.equal((await json(['images'])).length, 1);
      });
    });

    if (subject === 'containerd') {
      test('what only our runtime does is said so', async () => {
        for (const args of [
          ['save', fixture.image.name],
          ['load', fixture.image.dir],
          ['image', 'verify'],
        ]) {
          const { code, err } = await amphipod(args);
          assert.equal(code, 125);
          assert.match(
            err,
            new RegExp(
              `^amphipod: ${args.slice(0, -1).join(' ') || args[0]}.*: the runtime at .* does not do this`,
            ),
          );
        }
      });
      return;
    }

    test('save and load, by file and through pipes', async () => {
      const image = buildSmallImage(`${fixture.dir}/moved`, 'localhost/moved:1', 'moved');
      assert.equal((await ok(['load', '-q', image.dir])).out, `${image.id}\n`);
      const piped = await ok(['save', 'localhost/moved:1']);
      const file = `${fixture.dir}/moved.tar`;
      await ok(['save', '-o', file, '--format', 'docker', 'localhost/moved:1', fixture.image.name]);
      assert.ok(statSync(file).size > piped.bytes.length);
      await ok(['rmi', image.id]);
      const fromPipe = await ok(['load'], { input: piped.bytes });
      assert.deepEqual(
        [fromPipe.out, fromPipe.err],
        [`${image.id}\n`, `loaded localhost/moved:1 (${image.id.slice(7, 19)})\n`],
      );
      await ok(['rmi', image.id]);
      const loaded = await json(['load', file]);
      assert.deepEqual(
        loaded.map(({ id }: { id: string }) => id).sort(),
        [image.id, fixture.image.id].sort(),
      );
      execFileSync('gzip', [file]);
      const renamed = await ok(['image', 'load', '-', '--name', 'localhost/moved:1'], {
        input: readFileSync(`${file}.gz`),
      });
      assert.equal(renamed.out, `${image.id}\n`);
      const cases: [string[], string | undefined, RegExp][] = [
        [['load', '/absent.tar'], undefined, /^amphipod: load: .*"\/absent\.tar": no such file\n$/],
        [['load'], 'no archive at all', /^amphipod: load: /],
        [['load'], '', /^amphipod: load: /],
        [
          ['save', 'localhost/absent:1'],
          undefined,
          /^amphipod: save: save image "localhost\/absent:1": no such image\n$/,
        ],
        [
          ['save', '-o', '/absent/file', 'localhost/moved:1'],
          undefined,
          /^amphipod: save: write "\/absent\/file": ENOENT/,
        ],
        [['save', '--format', 'zip', 'x'], undefined, /expected oci or docker; see amphipod save --help\n$/],
        [
          ['image', 'import', '--from', 'rkt'],
          undefined,
          /--from "rkt": expected containerd, crio or podman; see/,
        ],
        [
          ['image', 'import', '--from', 'containerd', '--root', '/absent'],
          undefined,
          /"\/absent": no such file\n$/,
        ],
        [
          ['image', 'nothing'],
          undefined,
          /^amphipod: unknown command "image nothing"; see amphipod image --help\n$/,
        ],
      ];
      for (const [args, input, message] of cases) {
        const { code, err } = await amphipod(args, { input: input ?? '' });
        assert.equal(code, 125, args.join(' '));
        assert.match(err, message);
      }
      assert.deepEqual(readdirSync(`${fixture.server.dir}/root/images/tmp`), []);
    });

    test('image import takes images over from the store of podman, and tells what it cannot take', async () => {
      const image = buildSmallImage(`${fixture.dir}/imported`, 'localhost/imported:1', 'imported');
      const root = `${fixture.dir}/storage`;
      const podman = ['--root', root, '--runroot', `${fixture.dir}/run`, '--storage-driver', 'vfs'];
      execFileSync('tar', ['-cf', `${image.dir}.tar`, '-C', image.dir, '.']);
      execFileSync('podman', [...podman, 'load', '-q', '-i', `${image.dir}.tar`]);
      const args = ['image', 'import', '--from', 'podman', '--root', root];
      const [imported] = await json(args);
      assert.deepEqual([imported.id, imported.repoTags], [image.id, ['localhost/imported:1']]);
      assert.deepEqual(imported.repoDigests, [`localhost/imported@${image.manifestDigest}`]);
      assert.equal((await ok([...args, '-q', 'localhost/imported:1'])).out, `${image.id}\n`);
      await ok(['rmi', image.id]);
      for (const name of readdirSync(`${root}/vfs-layers`).filter((file) => file.endsWith('.tar-split.gz')))
        rmSync(`${root}/vfs-layers/${name}`);
      const { code, err } = await amphipod(args);
      assert.equal(code, 125);
      assert.match(err, /^amphipod: image import: localhost\/imported:1: .*tar-split is not kept/);
      assert.match(err, /amphipod: image import: 1 of 1 images could not be taken\n$/);
    });

    test('a load whose client goes away leaves nothing', async () => {
      const tmp = `${fixture.server.dir}/root/images/tmp`;
      const session = startSession([`${projectDir}/bin/amphipod`, '--socket', fixture.server.socket, 'load']);
      session.child.stdin!.write(Buffer.alloc(1_000_000));
      await eventually('the bytes to arrive', () => readdirSync(tmp).length > 0 || undefined);
      killSession(session);
      await eventually('the bytes to go', () => readdirSync(tmp).length === 0 || undefined);
    });

    test('image verify finds damage; what is loaded again is whole', async () => {
      const image = buildSmallImage(`${fixture.dir}/spoilt`, 'localhost/spoilt:1', 'spoilt');
      await ok(['load', image.dir]);
      assert.match(
        (await ok(['image', 'verify'])).out,
        /^\d+ blobs and \d+ layers: all is as it should be\n$/,
      );
      const [{ layers }] = await json(['image', 'inspect', image.id]);
      writeFileSync(`${fixture.server.dir}/root/images/blobs/${layers[1].digest.replace(':', '/')}`, 'x');
      const found = await amphipod(['image', 'verify', image.id]);
      assert.equal(found.code, 1);
      assert.match(
        found.out,
        /^KIND +DIGEST +IMAGES +PROBLEM +REPAIR\nblob .* it has digest .*\nlayer .*\n4 blobs and 2 layers: 2 damaged, 2 still are\n$/,
      );
      await ok(['load', image.dir]);
      assert.deepEqual((await json(['image', 'verify', image.id])).damages, []);
    });

    test('pull: a line for each layer and a total; plain, json, quiet', async () => {
      await using registry = await startRegistry(`${fixture.dir}/registry`);
      const image = buildSmallImage(`${fixture.dir}/pulled`, 'localhost/pulled:1', 'pulled');
      const reference = await registry.push(image, 'pulled:1');
      const bars = await ok(['pull', reference], { terminal: { rows: 24, columns: 80 } });
      assert.match(bars.out, /pulled 127\.0\.0\.1:\d+\/pulled:1 in [\d.]+ s \([0-9a-f]{12}/);
      const plain = await ok(['pull', reference]);
      assert.match(plain.err, /^pulling .*\n([0-9a-f]{12} {2}(pulled|is here) .*\n)*pulled .* in [\d.]+ s/);
      assert.equal(plain.out, `${image.id}\n`);
      const lines = (await ok(['pull', '--progress', 'json', reference])).err.trim().split('\n');
      assert.equal(JSON.parse(lines.at(-1)!).id, image.id);
      const quiet = await ok(['pull', '-q', '-o', 'json', reference]);
      assert.equal(quiet.err, '');
      const { id, repoDigests, layers } = JSON.parse(quiet.out);
      assert.deepEqual(
        [id, repoDigests, layers.length],
        [image.id, [`${registry.host}/pulled@${image.manifestDigest}`], 2],
      );
      const failed = await amphipod(['pull', `${registry.host}/absent:1`]);
      assert.equal(failed.code, 125);
      assert.match(failed.err, /amphipod: pull: .*absent/);
    });
  });
}
