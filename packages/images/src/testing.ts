// Makes images without a build tool: for tests, demos and benchmarks.
export { buildImageLayout, type ImageSpec } from './layout-writer.ts';
// What reads files about registries and what registries answer: for tests that hand it anything.
export { choosePlatform, parseConfig, parseManifest } from './manifest.ts';
export { parseAuthFile } from './registry/auth-file.ts';
export { parseChallenges } from './registry/challenge.ts';
export { downloadBlob } from './registry/download-blob.ts';
export { parseHostsToml } from './registry/hosts-toml.ts';
export { HttpConnections } from './registry/http-exchange.ts';
export { RegistryClient } from './registry/registry-client.ts';
export { parseSignaturePolicy } from './signatures/policy.ts';
export { requirementsForImage } from './signatures/policy-scope.ts';
export { claimOf } from './signatures/signed-claim.ts';
export { readBundle } from './signatures/sigstore-bundle.ts';
export { type HeaderField, rawMember, sizeField, tarBlock, withChecksum } from './tar-blocks.ts';
export { type Entry, tarMember, writeTar } from './tar-writer.ts';
