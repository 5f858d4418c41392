/** What needs the network of the machine: critest and the images, into the directory DIR. `prepare.ts DIR` */
import { writeFileSync } from 'node:fs';
import { buildCritest, withDigest } from './build.ts';
import { buildCritestImages } from './images.ts';

const [dir = ''] = process.argv.slice(2);
const bin = buildCritest();
const images = buildCritestImages(dir);
const digest = images.find(({ repository }) => repository.endsWith('/test-image-digest'))!.manifestDigest;
withDigest(`${bin}/critest`, `${dir}/critest`, digest);
writeFileSync(`${dir}/prepared.json`, JSON.stringify({ bin, images }));
