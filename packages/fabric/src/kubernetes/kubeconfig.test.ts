import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { inClusterConfig } from './in-cluster.ts';
import { readKubeconfig } from './kubeconfig.ts';

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'kubeconfig-test-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

function write(name: string, text: string): string {
  writeFileSync(join(dir, name), text);
  return join(dir, name);
}

/** A file with one context whose cluster and user are given as YAML flow mappings. */
function kubeconfig(cluster: string, user: string): string {
  const text = `apiVersion: v1
kind: Config
current-context: here
contexts:
- {name: elsewhere, context: {cluster: none, user: nobody}}
- {name: here, context: {cluster: c, user: u}}
clusters:
- {name: c, cluster: ${cluster}}
users:
- {name: u, user: ${user}}
`;
  return write('config', text);
}

test('server, authority and client certificate as text in the file', () => {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const file = kubeconfig(
    `{server: "https://192.0.2.1:6443/k8s", certificate-authority-data: ${base64('CA')}, tls-server-name: api}`,
    `{client-certificate-data: ${base64('CERT')}, client-key-data: ${base64('KEY')}}`,
  );
  const config = readKubeconfig(file);
  assert.equal(config.server.href, 'https://192.0.2.1:6443/k8s');
  assert.equal(config.tlsServerName, 'api');
  assert.equal(config.skipTlsVerify, false);
  assert.deepEqual(config.credentials(), { ca: 'CA', cert: 'CERT', key: 'KEY' });
});

test('files are named from the directory of the kubeconfig file, and read again at each call', () => {
  const file = kubeconfig(
    '{server: "https://a", certificate-authority: ca.pem, insecure-skip-tls-verify: true}',
    '{tokenFile: token, token: old}',
  );
  write('ca.pem', 'CA');
  write('token', 'one\n');
  const config = readKubeconfig(file);
  assert.equal(config.skipTlsVerify, true);
  assert.deepEqual(config.credentials(), { ca: 'CA', token: 'one' });
  write('token', 'two\n');
  assert.deepEqual(config.credentials(), { ca: 'CA', token: 'two' });
});

test('what cannot be used is named with file, key and value, secrets without their value', () => {
  const good = '{server: "https://a"}';
  const cases: [file: () => string, message: RegExp][] = [
    [() => join(dir, 'absent'), /absent": ENOENT/],
    [() => write('config', 'token: secret: ['), /config": Nested mappings .* at line 1, column \d+:$/],
    [() => write('config', '- a'), /config": not a YAML mapping/],
    [() => write('config', 'kind: Config'), /config": current-context: missing/],
    [() => write('config', 'current-context: x'), /contexts: none has the name "x" of current-context/],
    [
      () => write('config', 'current-context: x\ncontexts: [{name: x, context: {cluster: y}}]'),
      /clusters: none has the name "y" of contexts\["x"\]\.context\.cluster/,
    ],
    [() => kubeconfig('{}', '{}'), /clusters\["c"\]\.cluster\.server: missing/],
    [() => kubeconfig('{server: "ftp://a"}', '{}'), /server: "ftp:\/\/a": must be https:\/\/HOST:PORT/],
    [() => kubeconfig(good, '{token: 7}'), /users\["u"\]\.user\.token: must be a string/],
    [
      () => kubeconfig(good, '{client-certificate-data: QQ==}'),
      /client-key: certificate and key must be given/,
    ],
    [() => kubeconfig(good, '{tokenFile: absent}'), /user\.tokenFile: ENOENT.*absent/],
    [() => kubeconfig(good, '{exec: {command: aws}}'), /users\["u"\]\.user\.exec: not supported/],
    [
      () => kubeconfig('{server: "https://a", proxy-url: "http://p"}', '{}'),
      /cluster\.proxy-url: "http:\/\/p": not supported/,
    ],
    [
      () => kubeconfig('{server: "https://a", insecure-skip-tls-verify: "yes"}', '{}'),
      /insecure-skip-tls-verify: "yes": must be true or false/,
    ],
  ];
  for (const [file, message] of cases) {
    assert.throws(() => readKubeconfig(file()), { code: 'invalid-config', message });
  }
});

test('in a pod: address from the environment, token and authority from the service account', () => {
  write('ca.crt', 'CA');
  write('token', 'one');
  const env = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' };
  const config = inClusterConfig({ env, serviceAccount: dir });
  assert.equal(config.server.href, 'https://[fd00::1]/');
  assert.deepEqual(config.credentials(), { ca: 'CA', token: 'one' });
  write('token', 'two\n');
  assert.equal(config.credentials().token, 'two');
  assert.throws(() => inClusterConfig({ env: {}, serviceAccount: dir }), {
    code: 'invalid-config',
    message: /KUBERNETES_SERVICE_HOST is not set/,
  });
  assert.throws(() => inClusterConfig({ env, serviceAccount: join(dir, 'absent') }), {
    code: 'invalid-config',
    message: /absent\/ca\.crt": ENOENT/,
  });
});
