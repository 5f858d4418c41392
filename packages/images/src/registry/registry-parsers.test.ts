import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ImageError } from '../errors.ts';
import { parseChallenges } from './challenge.ts';
import { credentialsFor } from './credentials.ts';
import { parseHostsToml } from './hosts-toml.ts';
import { hostsOf } from './registry-hosts.ts';

test('challenges: quoted and plain values, several schemes, odd spacing', () => {
  assert.deepEqual(
    parseChallenges('Bearer realm="https://a/t?x=1,2",service="s \\"q\\"", scope=repository:a:pull'),
    [
      {
        scheme: 'bearer',
        params: { realm: 'https://a/t?x=1,2', service: 's "q"', scope: 'repository:a:pull' },
      },
    ],
  );
  assert.deepEqual(parseChallenges('Negotiate, Basic realm = "x" , Bearer realm=y'), [
    { scheme: 'negotiate', params: {} },
    { scheme: 'basic', params: { realm: 'x' } },
    { scheme: 'bearer', params: { realm: 'y' } },
  ]);
  assert.deepEqual(parseChallenges(''), []);
});

test('no header and no file hangs or crashes a parser', () => {
  fc.assert(fc.property(fc.string({ maxLength: 300 }), (text) => void parseChallenges(text)));
  const toml = fc.oneof(
    fc.string({ maxLength: 200 }),
    fc.stringMatching(
      /^(?:(?:server|host|ca|\[host\."http:\/\/a"\]|capabilities) ?=? ?(?:"[a-z:/]{0,9}"|\["pull"\]|true|1)?\n){0,6}$/,
    ),
  );
  fc.assert(
    fc.property(toml, (text) => {
      try {
        parseHostsToml(text, '/nowhere/hosts.toml');
      } catch (error) {
        assert.ok(error instanceof ImageError, String(error));
      }
    }),
    { numRuns: 1000 },
  );
});

test('hosts.toml: order, capabilities, headers, server; mistakes name the key', () => {
  const { server, hosts } = parseHostsToml(
    `server = "https://up.example"
     [host."https://second.example/v2/mirror"]
       capabilities = ["pull"]
       override_path = true
     [host."first.example:5000"]
       skip_verify = true
       [host."first.example:5000".header]
         x-key = ["a", "b"]`,
    'hosts.toml',
  );
  assert.equal(server?.url, 'https://up.example');
  assert.deepEqual(hosts, [
    { url: 'https://second.example/v2/mirror', tls: {}, capabilities: ['pull'], overridePath: true },
    { url: 'https://first.example:5000', tls: { skipVerify: true }, headers: { 'x-key': 'a, b' } },
  ]);
  assert.throws(() => parseHostsToml('server = 3', 'f.toml'), { message: /f\.toml: server must be a URL/ });
  assert.throws(() => parseHostsToml('host = 3', 'f.toml'), { message: /f\.toml: host must be a table/ });
  assert.throws(() => parseHostsToml('ca = "/nowhere/ca.pem"\nserver = "https://a"', 'f.toml'), {
    message: /ENOENT.*ca\.pem/,
  });
});

test('plain HTTP for loopback and for hosts that are named, HTTPS for the rest', () => {
  const url = (registry: string) => hostsOf(registry, { plainHttp: ['plain.example'] }).at(-1)!.url;
  assert.equal(url('127.0.0.1:5000'), 'http://127.0.0.1:5000');
  assert.equal(url('localhost'), 'http://localhost');
  assert.equal(url('plain.example'), 'http://plain.example');
  assert.equal(url('quay.io'), 'https://quay.io');
  assert.equal(url('docker.io'), 'https://registry-1.docker.io');
});

test('credentials are only for the server that they name', () => {
  const auth = { username: 'u', password: 'p' };
  assert.equal(credentialsFor('quay.io', { ...auth, serverAddress: 'https://quay.io/v2/' }).kind, 'basic');
  assert.equal(
    credentialsFor('docker.io', { ...auth, serverAddress: 'https://index.docker.io/v1/' }).kind,
    'basic',
  );
  assert.equal(credentialsFor('quay.io', { ...auth, serverAddress: 'quay.io.evil.example' }).kind, 'none');
  assert.deepEqual(credentialsFor('quay.io', { auth: Buffer.from('u:p:q\0\0').toString('base64') }), {
    kind: 'basic',
    username: 'u',
    password: 'p:q',
  });
  assert.equal(credentialsFor('quay.io', { registryToken: 't', ...auth }).kind, 'bearer');
});
