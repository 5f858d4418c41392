// Makes images without a build tool: for tests, demos and benchmarks.
export { buildImageLayout, type ImageSpec } from './layout-writer.ts';
export { type HeaderField, rawMember, sizeField, tarBlock, withChecksum } from './tar-blocks.ts';
export { type Entry, tarMember, writeTar } from './tar-writer.ts';
