import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseReference } from '../reference.ts';
import { parseSignaturePolicy } from './policy.ts';
import { imageScopes, requirementsForImage, requirementsForPath } from './policy-scope.ts';

const parse = (policy: unknown) =>
  parseSignaturePolicy(typeof policy === 'string' ? policy : JSON.stringify(policy), 'policy.json');
const accept = [{ type: 'insecureAcceptAnything' }];
const reject = [{ type: 'reject' }];
const pem = Buffer.from('-----BEGIN PUBLIC KEY-----\nx\n').toString('base64');

test('policy: every form of a requirement, and what is known but not supported', () => {
  const signed = (more: object) => parse({ default: [{ type: 'sigstoreSigned', ...more }] }).default[0];
  assert.deepEqual(parse({ default: reject }), { default: reject, transports: {} });
  assert.deepEqual(signed({ keyPath: '/a' }), {
    type: 'sigstoreSigned',
    keys: [{ path: '/a' }],
    signedIdentity: { type: 'matchRepoDigestOrExact' },
  });
  assert.deepEqual(signed({ keyPaths: ['/a', '/b'], signedIdentity: { type: 'matchRepository' } }), {
    type: 'sigstoreSigned',
    keys: [{ path: '/a' }, { path: '/b' }],
    signedIdentity: { type: 'matchRepository' },
  });
  const data = { pem: '-----BEGIN PUBLIC KEY-----\nx\n' };
  for (const more of [{ keyData: pem }, { keyDatas: [pem] }])
    assert.deepEqual((signed(more) as { keys: unknown }).keys, [data]);
  for (const [more, what] of [
    [{ type: 'signedBy', keyType: 'GPGKeys', keyPath: '/a' }, /^signedBy \(signatures by GPG keys\)$/],
    [{ fulcio: { caPath: '/a' } }, /^sigstoreSigned with fulcio/],
    [{ keyPath: '/a', rekorPublicKeyPath: '/b' }, /^sigstoreSigned with rekorPublicKeyPath/],
  ] as const) {
    const found = signed(more) as { type: string; what: string };
    assert.equal(found.type, 'unsupported');
    assert.match(found.what, what);
  }
});

test('policy: a mistake makes the whole file invalid, and is named', () => {
  const signed = (more: object) => ({ default: [{ type: 'sigstoreSigned', keyPath: '/a', ...more }] });
  const cases: [policy: unknown, message: RegExp][] = [
    ['{', /^read policy\.json: not JSON/],
    [[], /the policy = \[\]: must be an object/],
    [{}, /default: missing/],
    [{ default: [] }, /default = \[\]: must be a list with one requirement at least/],
    [
      { default: accept, transport: {} },
      /the policy\.transport = \{\}: no such key: known are default, transports/,
    ],
    [{ default: [{ type: 'accept' }] }, /default\[0\]\.type = "accept": must be insecureAcceptAnything/],
    [{ default: [{ type: 'reject', x: 1 }] }, /default\[0\]\.x = 1: no such key/],
    [
      { default: accept, transports: { docker: { a: 1 } } },
      /transports\["docker"\]\["a"\] = 1: must be a list/,
    ],
    [
      signed({ keyData: pem }),
      /default\[0\]: needs exactly one of keyPath, keyPaths, keyData, keyDatas; it has 2/,
    ],
    [signed({ keyPath: undefined }), /it has 0/],
    [signed({ keyPath: 'relative' }), /default\[0\]\.keyPath = "relative": must be an absolute path/],
    [signed({ keyPath: undefined, keyPaths: [] }), /keyPaths = \[\]: must be a list/],
    [signed({ keyPath: undefined, keyData: 'eA==' }), /keyData = "eA==": must be base64 of a public key/],
    [signed({ key: 1 }), /default\[0\]\.key = 1: no such key/],
    [signed({ signedIdentity: 'x' }), /default\[0\]\.signedIdentity = "x": must be an object/],
    [
      signed({ signedIdentity: { type: 'match' } }),
      /signedIdentity\.type = "match": must be one of matchExact, /,
    ],
    [signed({ signedIdentity: { type: 'matchExact', x: 1 } }), /signedIdentity\.x = 1: no such key/],
    [
      signed({ signedIdentity: { type: 'exactReference', dockerReference: 'quay.io/a' } }),
      /dockerReference = "quay\.io\/a": must be a full name with tag or digest/,
    ],
    [
      signed({ signedIdentity: { type: 'exactRepository', dockerRepository: 'quay.io/a:1' } }),
      /dockerRepository = "quay\.io\/a:1": must be a full name without tag or digest/,
    ],
    [signed({ signedIdentity: { type: 'remapIdentity', prefix: 'a' } }), /signedPrefix: must be a name/],
  ];
  for (const [policy, message] of cases)
    assert.throws(() => parse(policy), { code: 'invalid-registry-config', message }, JSON.stringify(policy));
});

test('scopes of an image, from the most specific on', () => {
  const scopes = (text: string) => imageScopes(parseReference(text));
  assert.deepEqual(scopes('reg.team.example:5000/a/b:1'), [
    'reg.team.example:5000/a/b:1',
    'reg.team.example:5000/a/b',
    'reg.team.example:5000/a',
    'reg.team.example:5000',
    '*.team.example',
    '*.example',
  ]);
  assert.deepEqual(scopes('busybox').slice(0, 3), [
    'docker.io/library/busybox:latest',
    'docker.io/library/busybox',
    'docker.io/library',
  ]);
  const digest = `sha256:${'0'.repeat(64)}`;
  assert.equal(scopes(`quay.io/a@${digest}`)[0], `quay.io/a@${digest}`);
});

test('the most specific entry counts alone; the default of the transport comes before the default of all', () => {
  const policy = parse({
    default: reject,
    transports: {
      docker: { 'quay.io': accept, 'quay.io/team': reject, '*.example': accept, '': accept },
      'docker-daemon': { '': accept },
      oci: { '/srv': accept, '/srv/bad': reject },
    },
  });
  const where = (text: string) => requirementsForImage(policy, parseReference(text)).where;
  assert.equal(where('quay.io/x'), 'docker "quay.io"');
  assert.equal(where('quay.io/team/x'), 'docker "quay.io/team"');
  assert.equal(where('quay.io/teams/x'), 'docker "quay.io"');
  assert.equal(where('a.b.example/x'), 'docker "*.example"');
  assert.equal(where('busybox'), 'docker ""');
  const path = (text: string) => requirementsForPath(policy, 'oci', text).where;
  assert.equal(path('/srv/a/b'), 'oci "/srv"');
  assert.equal(path('/srv/bad/../good'), 'oci "/srv"');
  assert.equal(path('/srv/bad/x'), 'oci "/srv/bad"');
  assert.equal(path('/tmp'), 'default');
  assert.equal(requirementsForPath(policy, 'docker-archive', '/srv').where, 'default');
  assert.equal(requirementsForImage(parse({ default: accept }), parseReference('x')).where, 'default');
});
