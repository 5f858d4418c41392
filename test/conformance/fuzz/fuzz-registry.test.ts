/**
 * What comes from registries and from the files about them: never a crash, never a hang, memory bounded, always a value or an
 * `ImageError` with a code that is meant for it. AMPHIPOD_FUZZ_RUNS=400000 for 208,000 cases, AMPHIPOD_FUZZ_SEED=N to
 * repeat a failure.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { after, before, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { parseReference } from '@amphipod/images';
import {
  choosePlatform,
  claimOf,
  downloadBlob,
  HttpConnections,
  parseAuthFile,
  parseChallenges,
  parseConfig,
  parseHostsToml,
  parseManifest,
  parseSignaturePolicy,
  RegistryClient,
  readBundle,
  requirementsForImage,
} from '@amphipod/images/testing';
import { fuzz, mistakeIn } from './harness.ts';
import { type Json, mutate, textOf } from './mutate.ts';
import { mutateText } from './mutate-text.ts';
import type { Random } from './random.ts';
import {
  answerSeeds,
  authFileSeeds,
  blobBytes,
  blobDigest,
  bundleSeeds,
  challengeSeeds,
  claimSeeds,
  configSeeds,
  hostsTomlSeeds,
  manifestSeeds,
  policySeeds,
  registryVocabulary,
} from './registry-seeds.ts';

const maxGrowthBytes = 32 * 1024 * 1024;
/** Of the whole process, garbage and all. */
const maxPeakBytes = 1024 * 1024 * 1024;

function valueOrError<T>(codes: string[], work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    assertImageError(error, codes);
    return undefined;
  }
}

function assertImageError(error: unknown, codes: string[]): void {
  const { name, code, message } = error as { name?: string; code?: string; message?: string };
  assert.equal(name, 'ImageError', `${name}: ${message}`);
  assert.ok(codes.includes(code!), `${code}: ${message}`);
  assert.ok(message!.length < 50_000, `a message of ${message!.length} characters`);
}

/** No mistake of ours behind an error that is the parser's own. */
function assertNoMistake(error: unknown): void {
  const mistake = mistakeIn(error);
  assert.equal(mistake, undefined, `${mistake?.stack}`);
}

const json = (seeds: readonly Json[], random: Random) =>
  textOf(mutate(random.pick(seeds), random, registryVocabulary), random);

fuzz('hosts.toml', 0.15, (random, note) => {
  const text = mutateText(random.pick(hostsTomlSeeds), random);
  note(text);
  const found = valueOrError(['invalid-registry-config'], () => parseHostsToml(text, '/nowhere/hosts.toml'));
  if (found === undefined) return;
  for (const { url, headers, dialTimeoutMs } of found.hosts) {
    assert.match(url, /^https?:\/\/[^/]/);
    assert.ok(dialTimeoutMs === undefined || (dialTimeoutMs > 0 && dialTimeoutMs < 2 ** 31));
    // What node:http would throw at.
    if (headers !== undefined) new Headers(Object.entries(headers).map(([k, v]) => [k, String(v)]));
  }
});

const manifestCodes = ['invalid-manifest', 'unsupported-media-type', 'no-matching-platform'];
const amd64 = { os: 'linux', architecture: 'amd64' };

fuzz('manifests and configurations', 0.2, (random, note) => {
  const text = json(random.chance(0.7) ? manifestSeeds : configSeeds, random);
  note(text);
  const bytes = Buffer.from(text);
  valueOrError(manifestCodes, () => parseConfig(bytes));
  const manifest = valueOrError(manifestCodes, () =>
    parseManifest(bytes, random.pick(['', 'text/html', undefined])),
  );
  if (manifest === undefined) return;
  if (manifest.kind === 'index')
    valueOrError(manifestCodes, () => choosePlatform(manifest.manifests, amd64, 'x'));
  else
    for (const { digest, size } of [manifest.config, ...manifest.layers]) {
      assert.match(digest, /^sha256:[0-9a-f]{64}$/);
      assert.ok(Number.isSafeInteger(size) && size >= 0);
    }
});

fuzz('auth files and signature policies', 0.1, (random, note) => {
  const text = json(random.chance(0.5) ? authFileSeeds : policySeeds, random);
  note(text);
  valueOrError(['invalid-registry-config'], () => parseAuthFile(text, 'auth.json'));
  const policy = valueOrError(['invalid-registry-config'], () => parseSignaturePolicy(text, 'policy.json'));
  if (policy === undefined) return;
  const { requirements } = requirementsForImage(policy, parseReference('quay.io/team/app:1'));
  assert.ok(requirements.length > 0);
});

fuzz('signatures', 0.04, (random, note) => {
  const bundle = json(bundleSeeds, random);
  note(bundle);
  for (const { payload, signed } of [readBundle(Buffer.from(bundle))]
    .flat()
    .filter((read) => typeof read !== 'string'))
    assert.ok(signed.length > payload.length);
  const claim = json(claimSeeds, random);
  note(claim);
  for (const form of ['bundle', 'simple signing'] as const) {
    const bytes = Buffer.from(claim);
    const read = claimOf({ form, payload: bytes, signed: bytes, signature: bytes });
    if (typeof read !== 'string') for (const digest of read.digests) assert.equal(typeof digest, 'string');
  }
});

fuzz('challenges and image names', 0.02, (random, note) => {
  const text = mutateText(random.pick(challengeSeeds), random);
  note(text);
  for (const { scheme, params } of parseChallenges(text)) {
    assert.equal(typeof scheme, 'string');
    for (const value of Object.values(params)) assert.equal(typeof value, 'string');
  }
  valueOrError(['invalid-reference'], () => parseReference(text));
});

/** Answers each request with what the case says, and closes. */
const server = { host: '', answer: (_request: string): string => '', sockets: new Set<Socket>() };
const listener = createServer((socket) => {
  server.sockets.add(socket);
  socket.on('close', () => server.sockets.delete(socket));
  socket.on('error', () => {});
  socket.on('data', (data) => socket.end(Buffer.from(server.answer(data.toString('latin1')), 'latin1')));
});
let dir = '';
before(async () => {
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  server.host = `127.0.0.1:${(listener.address() as AddressInfo).port}`;
  dir = mkdtempSync(`${tmpdir()}/registry-fuzz-`);
});
after(() => {
  for (const socket of server.sockets) socket.destroy();
  listener.close();
  rmSync(dir, { recursive: true, force: true });
});

const answerCodes = [
  'not-found',
  'unauthorized',
  'digest-mismatch',
  'registry-unavailable',
  'registry-error',
  'invalid-registry-config',
];

fuzz('HTTP answers', 0.01, async (random, note) => {
  const said: string[] = [];
  server.answer = (request) => {
    const isToken = request.startsWith('GET /token');
    const seed = random
      .pick(isToken ? answerSeeds.token : answerSeeds.content)
      .replaceAll('HOST', server.host);
    const text = random.chance(0.6) ? mutateText(seed, random) : seed;
    said.push(text.slice(0, 300));
    note(said.join('\n---\n'));
    return text;
  };
  // Whatever host an answer names is this server.
  const env = { HTTP_PROXY: server.host, HTTPS_PROXY: server.host };
  using connections = new HttpConnections({ progressTimeoutMs: 2_000, env });
  const retries = { attempts: 2, baseDelayMs: 0, maxDelayMs: 1 };
  const client = new RegistryClient({
    host: { url: `http://${server.host}` },
    registry: 'registry.example',
    repository: 't',
    findCredentials: async () =>
      random.chance(0.5) ? { kind: 'none' } : { kind: 'basic', username: 'u', password: 'p' },
    otherServers: () => ({}),
    connections,
    retries,
  });
  const { signal } = new AbortController();
  const descriptor = { mediaType: '', digest: blobDigest, size: blobBytes.length };
  const path = `${dir}/blob`;
  try {
    if (random.chance(0.5)) await client.getManifest(random.pick(['latest', blobDigest]), signal);
    else await downloadBlob(client, { descriptor, path, retries }, { signal, onProgress: () => {} });
  } catch (error) {
    assertImageError(error, answerCodes);
    assertNoMistake(error);
  }
});

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** What is held: without garbage, which may lie around for as long as there is room. */
function heldBytes(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const start = { bytes: heldBytes(), files: readdirSync('/proc/self/fd').length };

test('after all of them, memory and open files are what they were, or nearly', async () => {
  for (const socket of server.sockets) socket.destroy();
  // What the last cases let go of closes in the next turns of the event loop.
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
  const grownBytes = heldBytes() - start.bytes;
  assert.ok(grownBytes < maxGrowthBytes, `${grownBytes} bytes more`);
  assert.ok(process.resourceUsage().maxRSS * 1024 < maxPeakBytes, 'the peak too is bounded');
  const files = readdirSync('/proc/self/fd').length;
  assert.ok(files < start.files + 50, `${files} files instead of ${start.files}`);
});
