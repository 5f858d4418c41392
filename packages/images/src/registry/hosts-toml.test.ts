import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname } from 'node:path';
import { type TestContext, test } from 'node:test';
import { readCertsDir } from './certs-dir.ts';
import { parseHostsToml } from './hosts-toml.ts';
import { hostsOf, serverOptions } from './registry-hosts.ts';

const both = ['pull', 'resolve'];

function scratch(t: TestContext, files: Record<string, string>): string {
  const dir = mkdtempSync(`${tmpdir()}/amphipod-hosts-`);
  t.after(() => rmSync(dir, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(`${dir}/${path}`), { recursive: true });
    writeFileSync(`${dir}/${path}`, text);
  }
  return dir;
}

test('hosts.toml: order, capabilities, headers, paths, times, server', () => {
  const { server, hosts } = parseHostsToml(
    `server = "https://up.example"
     capabilities = ["pull", "resolve", "push"]
     [host."https://second.example/v2/mirror"]
       capabilities = ["Pull"]
       override_path = true
       dial_timeout = "1m2.5s"
     [host."first.example:5000"]
       skip_verify = true
       [host."first.example:5000".header]
         x-key = ["a", "b"]
         x-one = "c"
     [host."http://third.example/a/../b/"]`,
    'hosts.toml',
  );
  assert.deepEqual(server, { url: 'https://up.example', capabilities: both });
  assert.deepEqual(hosts, [
    {
      url: 'https://second.example/v2/mirror',
      capabilities: ['pull'],
      overridePath: true,
      dialTimeoutMs: 62_500,
    },
    {
      url: 'https://first.example:5000',
      capabilities: both,
      tls: { skipVerify: true },
      headers: { 'x-key': ['a', 'b'], 'x-one': 'c' },
    },
    { url: 'http://third.example/b', capabilities: both },
  ]);
  assert.deepEqual(parseHostsToml('', 'hosts.toml'), { hosts: [], server: { capabilities: both } });
});

test('hosts.toml: a mistake is an error with file, key, value and what would be right', () => {
  const cases: [text: string, message: RegExp][] = [
    ['server = 3', /^read f\.toml: server = 3: must be a URL$/],
    ['server = "ftp://a"', /server = "ftp:\/\/a": must be an http or https URL/],
    ['server = "https://a?x=1"', /server = "https:\/\/a\?x=1": must be a URL without/],
    ['server = "https://u:secret@a"', /^read f\.toml: server: credentials go into a "credentials" table/],
    ['host = 3', /host = 3: must be a table/],
    ['[host]\n"https://a" = 1', /host\."https:\/\/a" = 1: must be a table/],
    ['[host."https://"]', /host\."https:\/\/" = "https:\/\/": must be an http or https URL/],
    [
      '[host."https://a"]\nskip_verfy = true',
      /host\."https:\/\/a"\.skip_verfy = true: no such key: known are capabilities, /,
    ],
    ['mirrors = []', /f\.toml: mirrors = \[\]: no such key/],
    ['skip_verify = "yes"', /skip_verify = "yes": must be true or false/],
    ['override_path = 1', /override_path = 1: must be true or false/],
    ['capabilities = ["pul"]', /capabilities = \["pul"\]: must be a list of "pull", "resolve" and "push"/],
    ['capabilities = "pull"', /capabilities = "pull": must be a list of texts/],
    ['dial_timeout = 30', /dial_timeout = 30: must be a time like/],
    ['dial_timeout = "30"', /dial_timeout = "30": must be a time like/],
    ['dial_timeout = "0s"', /dial_timeout = "0s": must be a time like/],
    ['ca = "/nowhere/ca.pem"', /f\.toml: read \/nowhere\/ca\.pem: ENOENT/],
    ['ca = "/dev/zero"', /f\.toml: read \/dev\/zero: not a regular file/],
    ['ca = [1]', /ca = \[1\]: must be a list of texts/],
    ['client = [["a"]]', /client = \[\["a"\]\]: must be a file, a list of files, or a list of pairs/],
    ['[header]\n"a b" = "x"', /header\.a b = "x": must be text/],
    ['[header]\na = "x\\ny"', /header\.a = "x\\ny": must be text/],
    ['[credentials]\nusername = "u"', /credentials = …: must be one of: username with password/],
    ['[credentials]\nuser = "u"', /credentials = …: must be one of/],
    ['[credentials]\nhelper = "a"\nregistry_token = "secret"', /credentials = …: must be one of/],
    ['[credentials]\nusername = "u"\npassword = 7', /credentials\.password = …: must be text/],
    ['server = ', /^read f\.toml: Invalid TOML/],
  ];
  for (const [text, message] of cases) {
    assert.throws(() => parseHostsToml(text, 'f.toml'), { code: 'invalid-registry-config', message }, text);
    try {
      parseHostsToml(text, 'f.toml');
    } catch (error) {
      assert.doesNotMatch(String(error), /secret/);
    }
  }
});

test('hosts.toml: client certificates as one file, as files and as pairs; credentials in each form', (t) => {
  const dir = scratch(t, { 'd/a.pem': 'A', 'd/b.pem': 'B', 'd/password': 'p\n', 'ca.pem': 'CA' });
  const settings = (text: string) => parseHostsToml(text, `${dir}/d/hosts.toml`).server;
  assert.deepEqual(settings('client = "a.pem"').tls?.client, [{ cert: 'A', key: 'A' }]);
  assert.deepEqual(settings('client = ["a.pem", "b.pem"]').tls?.client, [
    { cert: 'A', key: 'A' },
    { cert: 'B', key: 'B' },
  ]);
  assert.deepEqual(settings('client = [["a.pem", "b.pem"]]').tls?.client, [{ cert: 'A', key: 'B' }]);
  assert.deepEqual(settings(`ca = ["../ca.pem", "${dir}/d/a.pem"]`).tls?.ca, ['CA', 'A']);
  const credentials = (text: string) => settings(`[credentials]\n${text}`).credentials;
  assert.deepEqual(credentials('username = "u"\npassword = "q"'), { username: 'u', password: 'q' });
  assert.deepEqual(credentials('username = "u"\npassword_file = "password"'), {
    username: 'u',
    password: 'p',
  });
  assert.deepEqual(credentials('identity_token = "t"'), { identityToken: 't' });
  assert.deepEqual(credentials('registry_token = "t"'), { registryToken: 't' });
  assert.deepEqual(credentials('helper = "ecr-login"'), { helper: 'ecr-login' });
});

test("certs.d: containerd's names for directories, Docker's files for certificates, settings without a server", (t) => {
  const dir = scratch(t, {
    'port.example_5000_/hosts.toml': 'server = "https://one"',
    'port.example:5000/hosts.toml': 'server = "https://two"',
    'colon.example:5000/hosts.toml': 'server = "https://three"',
    '_default/hosts.toml': '[host."https://cache.example"]',
    'docker.example/ca.crt': 'CA',
    'docker.example/client.cert': 'CERT',
    'docker.example/client.key': 'KEY',
    'half.example/client.cert': 'CERT',
    'own.example/hosts.toml': 'skip_verify = true',
    'empty.example/note.txt': '',
    file: '',
  });
  const urls = (registry: string) => hostsOf(registry, { certsDir: dir }).map(({ url }) => url);
  assert.deepEqual(urls('port.example:5000'), ['https://one']);
  assert.deepEqual(urls('colon.example:5000'), ['https://three']);
  assert.deepEqual(urls('quay.io'), ['https://cache.example', 'https://quay.io']);
  assert.deepEqual(urls('docker.io'), ['https://cache.example', 'https://registry-1.docker.io']);
  assert.deepEqual(urls('empty.example'), ['https://empty.example'], 'a directory of its own hides _default');
  assert.deepEqual(hostsOf('docker.example', { certsDir: dir }), [
    { url: 'https://docker.example', tls: { ca: ['CA'], client: [{ cert: 'CERT', key: 'KEY' }] } },
  ]);
  assert.deepEqual(hostsOf('own.example', { certsDir: dir }), [
    { url: 'https://own.example', tls: { skipVerify: true }, capabilities: both },
  ]);
  assert.throws(() => readCertsDir(dir, 'half.example'), {
    code: 'invalid-registry-config',
    message: /half\.example\/client\.cert: there is no client\.key beside it/,
  });
  assert.throws(() => readCertsDir(dir, 'file'), { message: /file: not a directory/ });
});

test('servers that a registry sends us to are reached as their own directory says, without headers and credentials', (t) => {
  const dir = scratch(t, {
    'storage.example/hosts.toml':
      'skip_verify = true\ndial_timeout = "3s"\n[header]\nx = "y"\n[credentials]\nhelper = "h"',
    '_default/hosts.toml': 'server = "https://elsewhere"\nskip_verify = true',
  });
  const options = (url: string) => serverOptions(new URL(url), { certsDir: dir });
  assert.deepEqual(options('https://storage.example/blob'), {
    tls: { skipVerify: true },
    dialTimeoutMs: 3000,
  });
  assert.deepEqual(options('http://storage.example/blob'), {});
  assert.deepEqual(options('https://other.example/blob'), {});
});

test('REG-05: plain HTTP for loopback and for hosts that are named, HTTPS for the rest', () => {
  const url = (registry: string) => hostsOf(registry, { plainHttp: ['plain.example'] }).at(-1)!.url;
  assert.equal(url('127.0.0.1:5000'), 'http://127.0.0.1:5000');
  assert.equal(url('localhost'), 'http://localhost');
  assert.equal(url('[::1]:5000'), 'http://[::1]:5000');
  assert.equal(url('localhost:443'), 'https://localhost:443');
  assert.equal(url('plain.example'), 'http://plain.example');
  assert.equal(url('quay.io'), 'https://quay.io');
  assert.equal(url('docker.io'), 'https://registry-1.docker.io');
});
