// What images are shown as over CRI: lists, removal, pins, use of the disk.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { describe, test } from 'node:test';
import { startAmphipod } from './support/amphipod.ts';
import { subjects, useServer } from './support/fixture.ts';
import { withContainer } from './support/pods.ts';
import { makeScratch } from './support/scratch.ts';
import { buildSmallImage } from './support/test-images.ts';

if (subjects.includes('amphipod')) {
  describe('images over CRI', () => {
    const fixture = useServer('amphipod');

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
      const image = buildSmallImage(`${fixture.dir}/listed`, 'localhost/listed:1', 'listed');
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

  test('IMG-21: pinned images are shown as such; another setting counts after a restart', async () => {
    using scratch = makeScratch('test-pins');
    const image = buildSmallImage(`${scratch.dir}/image`, 'localhost/pause:3.10', 'pause');
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
