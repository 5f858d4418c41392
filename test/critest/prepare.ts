/**
 * What needs the network of the machine: critest and the images, into the directory DIR. `prepare.ts DIR`
 * Exits with 77 where critest cannot be built.
 */
import { writeFileSync } from 'node:fs';
import { buildCritest, CannotBuild, withDigest } from './build.ts';
import { buildCritestImages } from './images.ts';

const [dir = ''] = process.argv.slice(2);
let bin: string;
try {
  bin = buildCritest();
} catch (error) {
  if (!(error instanceof CannotBuild)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exit(77);
}
const images = buildCritestImages(dir);
const digest = images.find(({ repository }) => repository.endsWith('/test-image-digest'))!.manifestDigest;
withDigest(`${bin}/critest`, `${dir}/critest`, digest);
writeFileSync(`${dir}/prepared.json`, JSON.stringify({ bin, images }));
