import { createHash } from 'node:crypto';
import type { Json } from './mutate.ts';

// What is right, for the tests to change: files about registries, what registries hold, and what they answer.

const sha256 = (bytes: Buffer | string) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

export const blobBytes = Buffer.from('a layer of no great size. '.repeat(200), 'latin1');
export const blobDigest = sha256(blobBytes);

export const hostsTomlSeeds = [
  `server = "https://registry.example"
capabilities = ["pull", "resolve"]
skip_verify = false
dial_timeout = "1m30s"

[host."https://mirror.example:5000/cache"]
  capabilities = ["pull", "resolve", "push"]
  ca = ["/nowhere/a.pem"]
  client = [["/nowhere/cert.pem", "/nowhere/key.pem"]]
  override_path = true
  [host."https://mirror.example:5000/cache".header]
    x-key = ["a", "b"]
    authorization = "c"

[host."http://[::1]:5000"]
  dial_timeout = "500ms"
  [host."http://[::1]:5000".credentials]
    username = "u"
    password = "p"
`,
  `[host."mirror.example"]
  skip_verify = true
  [host."mirror.example".credentials]
    helper = "ecr-login"
`,
  `[credentials]\nregistry_token = "t"\n[header]\nx = "y"\n`,
];

const layer = (mediaType: string): Json => ({ mediaType, digest: blobDigest, size: blobBytes.length });
const config = layer('application/vnd.oci.image.config.v1+json');
const manifest: Json = {
  schemaVersion: 2,
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  config,
  layers: [
    layer('application/vnd.oci.image.layer.v1.tar+gzip'),
    layer('application/vnd.docker.image.rootfs.diff.tar.gzip'),
  ],
  annotations: { 'org.opencontainers.image.title': 'x' },
};

export const manifestSeeds: Json[] = [
  manifest,
  {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [
      {
        ...(layer('application/vnd.oci.image.manifest.v1+json') as object),
        platform: { os: 'linux', architecture: 'amd64' },
      },
      {
        ...(layer('application/vnd.oci.image.manifest.v1+json') as object),
        platform: { os: 'linux', architecture: 'arm', variant: 'v7', 'os.features': ['x'] },
      },
      {
        ...(layer('application/vnd.oci.image.manifest.v1+json') as object),
        platform: { os: 'unknown', architecture: 'unknown' },
        annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
      },
    ],
  },
  { schemaVersion: 1, name: 'x', tag: 'y', fsLayers: [{ blobSum: blobDigest }], history: [] },
];

export const configSeeds: Json[] = [
  {
    created: '1970-01-01T00:00:00Z',
    architecture: 'arm64',
    variant: 'v8',
    os: 'linux',
    config: {
      User: '1000:1000',
      ExposedPorts: { '80/tcp': {} },
      Env: ['PATH=/bin'],
      Entrypoint: ['/bin/sh'],
      Cmd: ['-c', 'true'],
      Volumes: { '/data': {} },
      WorkingDir: '/',
      Labels: { a: 'b' },
      StopSignal: 'SIGTERM',
    },
    rootfs: { type: 'layers', diff_ids: [blobDigest, blobDigest] },
    history: [{ created_by: 'x', empty_layer: true }],
  },
];

export const authFileSeeds: Json[] = [
  {
    auths: {
      'https://index.docker.io/v1/': { auth: 'dTpw' },
      'quay.io/team': { username: 'u', password: 'p', identitytoken: 't', registrytoken: 't' },
    },
    credsStore: 'pass',
    credHelpers: { 'reg.example': 'ecr-login' },
    HttpHeaders: { 'User-Agent': 'x' },
  },
];

const pem = Buffer.from('-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----\n').toString('base64');

export const policySeeds: Json[] = [
  {
    default: [{ type: 'reject' }],
    transports: {
      docker: {
        'quay.io/team': [
          { type: 'sigstoreSigned', keyPath: '/a.pub', signedIdentity: { type: 'matchRepository' } },
          { type: 'sigstoreSigned', keyDatas: [pem] },
        ],
        'quay.io/team/app:1': [
          {
            type: 'sigstoreSigned',
            keyPaths: ['/a.pub', '/b.pub'],
            signedIdentity: { type: 'remapIdentity', prefix: 'quay.io', signedPrefix: 'up.example' },
          },
        ],
        '*.example': [{ type: 'signedBy', keyType: 'GPGKeys', keyPath: '/x' }],
        '': [{ type: 'insecureAcceptAnything' }],
      },
    },
  },
];

const statement = {
  _type: 'https://in-toto.io/Statement/v1',
  subject: [{ digest: { sha256: blobDigest.slice('sha256:'.length) } }],
  predicateType: 'https://sigstore.dev/cosign/sign/v1',
};

export const bundleSeeds: Json[] = [
  {
    mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
    dsseEnvelope: {
      payload: Buffer.from(JSON.stringify(statement)).toString('base64'),
      payloadType: 'application/vnd.in-toto+json',
      signatures: [{ sig: 'AAAA' }, { sig: 'BBBB' }],
    },
  },
];

export const claimSeeds: Json[] = [
  statement,
  {
    critical: {
      identity: { 'docker-reference': 'quay.io/team/app' },
      image: { 'docker-manifest-digest': blobDigest },
      type: 'cosign container image signature',
    },
    optional: null,
  },
];

/** Keys of all these files. */
export const registryVocabulary = [
  'schemaVersion',
  'mediaType',
  'config',
  'layers',
  'manifests',
  'digest',
  'size',
  'platform',
  'annotations',
  'architecture',
  'rootfs',
  'diff_ids',
  'Env',
  'Labels',
  'auths',
  'auth',
  'credsStore',
  'credHelpers',
  'default',
  'transports',
  'docker',
  'type',
  'keyPath',
  'keyData',
  'signedIdentity',
  'dsseEnvelope',
  'payload',
  'critical',
  'subject',
];

export const challengeSeeds = [
  'Bearer realm="https://auth.example/token?x=1,2",service="s \\"q\\"",scope="repository:a:pull"',
  'Negotiate, Basic realm = "x" , Bearer realm=y,error="insufficient_scope"',
  'Basic realm="x", charset="UTF-8"',
  `registry.example:5000/team/app:1.2@${blobDigest}`,
  'busybox',
];

const reply = (status: string, body: string, headers: string[] = []): string =>
  [`HTTP/1.1 ${status}`, `Content-Length: ${body.length}`, ...headers, '', body].join('\r\n');

const blob = blobBytes.toString('latin1');
const manifestText = JSON.stringify(manifest);
const errors = '{"errors":[{"code":"DENIED","message":"no"}]}';

/** Raw answers; HOST stands for the server that gives them. */
export const answerSeeds = {
  token: [
    reply('200 OK', '{"token":"good","expires_in":60}'),
    reply('200 OK', '{"access_token":"good"}'),
    reply('401 Unauthorized', errors),
    reply('503 Service Unavailable', '', ['Retry-After: 0']),
  ],
  content: [
    reply('200 OK', manifestText, ['Content-Type: application/vnd.oci.image.manifest.v1+json']),
    reply('200 OK', blob),
    reply('200 OK', blob.slice(0, 700)),
    // Announced whole, cut off.
    `HTTP/1.1 200 OK\r\nContent-Length: ${blob.length}\r\n\r\n${blob.slice(0, 1000)}`,
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${blob.length.toString(16)}\r\n${blob}\r\n0\r\n\r\n`,
    reply('206 Partial Content', blob.slice(1000), [
      `Content-Range: bytes 1000-${blob.length - 1}/${blob.length}`,
    ]),
    reply('416 Range Not Satisfiable', errors),
    reply('401 Unauthorized', errors, [
      'WWW-Authenticate: Bearer realm="http://HOST/token",service="s",scope="repository:t:pull"',
    ]),
    reply('401 Unauthorized', errors, ['WWW-Authenticate: Basic realm="x"']),
    reply('307 Temporary Redirect', '', ['Location: http://HOST/elsewhere']),
    reply('302 Found', '', ['Location: https://storage.example/x']),
    reply('404 Not Found', errors),
    reply('429 Too Many Requests', errors, ['Retry-After: Fri, 31 Dec 1999 23:59:59 GMT']),
    reply('500 Internal Server Error', '<html>'),
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n',
  ],
};
