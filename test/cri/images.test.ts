// The image commands of our own command line, with containerd's server where the call allows; pins and usage over CRI.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { buildImageLayout, type Entry } from '@amphipod/images/testing';
import { projectDir, startAmphipod } from './support/amphipod.ts';
import { endSessionsAfterEach, type SessionOptions, startSession } from './support/crictl-session.ts';
import { subjects, useServer } from './support/fixture.ts';
import { withContainer } from './support/pods.ts';
import { startRegistry } from './support/registry.ts';
import { makeScratch } from './support/scratch.ts';
import type { TestImage } from './support/test-images.ts';

const base: Entry[] = [{ path: 'base', data: randomBytes(300_000) }];

function buildImage(dir: string, name: string, top: string): TestImage {
  const config = { Cmd: ['/x'], Env: ['A=b'] };
  const built = buildImageLayout(dir, { layers: [base, [{ path: 'top', data: top }]], name, config });
  return { dir, name, ...built };
}

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
      const image = buildImage(`${fixture.dir}/seen`, 'localhost/seen:1', 'seen');
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
      const image = buildImage(`${fixture.dir}/pruned`, 'localhost/pruned:1', 'pruned');
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
      const image = buildImage(`${fixture.dir}/moved`, 'localhost/moved:1', 'moved');
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
        [['image', 'import', '--from', 'rkt'], undefined, /expected containerd, crio, podman/],
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

    test('image verify finds damage and repairs it', async () => {
      const image = buildImage(`${fixture.dir}/spoilt`, 'localhost/spoilt:1', 'spoilt');
      await ok(['load', image.dir]);
      assert.match(
        (await ok(['image', 'verify'])).out,
        /^\d+ blobs and \d+ layers: all is as it should be\n$/,
      );
      const [{ layers }] = await json(['image', 'inspect', image.id]);
      writeFileSync(`${fixture.server.dir}/root/images/blobs/${layers[1].digest.replace(':', '/')}`, 'x');
      const found = await amphipod(['image', 'verify', '--repair', image.id]);
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
      const image = buildImage(`${fixture.dir}/pulled`, 'localhost/pulled:1', 'pulled');
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

    test('ListImages, its filter and ImageStatus show the same, and follow every change', async () => {
      const { cri } = fixture;
      const shown = async () => {
        const { images } = await cri.listImages({});
        for (const image of images) {
          const found = await cri.listImages({ filter: { image: { image: image.id } } });
          assert.deepEqual(found.images, [image]);
          assert.deepEqual((await cri.imageStatus({ image: { image: image.id } })).image, image);
        }
        return images;
      };
      const before = await shown();
      const image = buildImage(`${fixture.dir}/listed`, 'localhost/listed:1', 'listed');
      await fixture.server.loadImage(image.dir, image.name);
      assert.deepEqual(
        (await shown()).map(({ id }) => id),
        [...before.map(({ id }) => id), image.id],
      );
      await fixture.server.loadImage(image.dir, 'localhost/listed:2');
      assert.deepEqual((await shown()).at(-1)!.repoTags, ['localhost/listed:1', 'localhost/listed:2']);
      await cri.removeImage({ image: { image: 'localhost/listed:2' } });
      assert.deepEqual(await shown(), before);
      assert.deepEqual((await cri.listImages({ filter: { image: { image: image.id } } })).images, []);
    });

    test('IMG-19: an image goes under all its names at once, and a container that runs keeps its files', async () => {
      const { cri, image } = fixture;
      await fixture.server.loadImage(image.dir, 'localhost/again/busybox:v1');
      await withContainer(fixture, {}, async (id) => {
        await cri.removeImage({ image: { image: image.name } });
        assert.deepEqual(
          (await cri.listImages({})).images.filter((found) => found.id === image.id),
          [],
        );
        for (const name of [image.name, 'localhost/again/busybox:v1', image.id])
          assert.equal((await cri.imageStatus({ image: { image: name } })).image, undefined, name);
        await cri.removeImage({ image: { image: image.name } });
        await cri.removeImage({ image: { image: 'nope' } });
        const { stdout } = await cri.execSync({ containerId: id, cmd: ['cat', '/var/www/index.html'] });
        assert.equal(`${stdout}`, 'hello from amphipod\n');
      });
      await fixture.server.loadImage(image.dir, image.name);
    });

    test('ImageFsInfo is what du says of writable layers', async () => {
      await withContainer(fixture, {}, async (id) => {
        const cmd = ['sh', '-c', 'dd if=/dev/zero of=/big bs=1M count=3; mkdir /d; touch /d/1 /d/2'];
        await fixture.cri.execSync({ containerId: id, cmd });
        const { imageFilesystems, containerFilesystems } = await fixture.cri.imageFsInfo({});
        const { usedBytes, inodesUsed, fsId } = containerFilesystems[0]!;
        assert.deepEqual(fsId, imageFilesystems[0]!.fsId);
        const dir = `${fixture.server.dir}/root/containers/${id}/upper`;
        const du = (option: string) =>
          Number(execFileSync('du', ['-s', option, dir], { encoding: 'utf8' }).split('\t')[0]);
        assert.deepEqual([Number(usedBytes!.value), Number(inodesUsed!.value)], [du('-B1'), du('--inodes')]);
      });
    });

    test('ImageFsInfo is what du says of blobs and layers', async () => {
      const root = `${fixture.server.dir}/root/images`;
      const { imageFilesystems } = await fixture.cri.imageFsInfo({});
      const { usedBytes, inodesUsed, fsId } = imageFilesystems[0]!;
      assert.ok(existsSync(fsId!.mountpoint));
      const du = (...options: string[]) =>
        Number(
          execFileSync('du', ['-s', ...options, root, '--exclude=images.db*', '--exclude=reserve'], {
            encoding: 'utf8',
          }).split('\t')[0],
        );
      const error = Math.abs(Number(usedBytes!.value) / du('-B1') - 1);
      assert.ok(error < 0.05, `${usedBytes!.value} bytes, du ${du('-B1')}`);
      // Beside them are the directories of the store, and one around each layer.
      const around = 10 + readdirSync(`${root}/layers`).length;
      assert.ok(
        Math.abs(Number(inodesUsed!.value) - du('--inodes')) <= around,
        `${inodesUsed!.value}, du ${du('--inodes')}`,
      );
    });
  });
}

if (subjects.includes('amphipod')) {
  test('IMG-21: pinned images are shown as such; another setting counts after a restart', async () => {
    using scratch = makeScratch('test-pins');
    const image = buildImage(`${scratch.dir}/image`, 'localhost/pause:3.10', 'pause');
    const pinnedWith = async (patterns: string) => {
      await using server = await startAmphipod({ dir: scratch.dir, flags: ['--pinned-images', patterns] });
      await server.loadImage(image.dir, image.name);
      const { images } = await server.cri.listImages({});
      const { image: status } = await server.cri.imageStatus({ image: { image: image.id } });
      assert.equal(images.length, 1);
      assert.equal(images[0]!.pinned, status!.pinned);
      return status!.pinned;
    };
    assert.equal(await pinnedWith('localhost/pause:3.10'), true);
    assert.equal(await pinnedWith('localhost/pause:3.11'), false);
    assert.equal(await pinnedWith('other,*pause*'), true);
  });
}
