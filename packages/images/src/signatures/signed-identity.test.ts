import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseReference } from '../reference.ts';
import { identityProblem, type SignedIdentity } from './signed-identity.ts';

const digest = `sha256:${'a'.repeat(64)}`;

test('signed identities: what each accepts and refuses', () => {
  const cases: [identity: SignedIdentity, image: string, signed: string, isGood: boolean][] = [
    [{ type: 'matchExact' }, 'r.io/a:1', 'r.io/a:1', true],
    [{ type: 'matchExact' }, 'r.io/a:1', 'r.io/a:2', false],
    [{ type: 'matchExact' }, `r.io/a@${digest}`, 'r.io/a:1', false],
    [{ type: 'matchRepoDigestOrExact' }, 'r.io/a:1', 'r.io/a:1', true],
    [{ type: 'matchRepoDigestOrExact' }, 'r.io/a:1', 'r.io/a:2', false],
    [{ type: 'matchRepoDigestOrExact' }, 'r.io/a:1', 'r.io/a', false],
    [{ type: 'matchRepoDigestOrExact' }, `r.io/a@${digest}`, 'r.io/a:7', true],
    [{ type: 'matchRepoDigestOrExact' }, `r.io/a@${digest}`, 'r.io/b:7', false],
    [{ type: 'matchRepoDigestOrExact' }, `r.io/a@${digest}`, 'r.io/a', false],
    [{ type: 'matchRepository' }, 'r.io/a:1', 'r.io/a', true],
    [{ type: 'matchRepository' }, 'r.io/a:1', 'r.io/a:9', true],
    [{ type: 'matchRepository' }, 'busybox', 'index.docker.io/library/busybox', true],
    [{ type: 'matchRepository' }, 'r.io/a:1', 'r.io/a/b', false],
    [{ type: 'matchRepository' }, 'r.io/a:1', 'evil.io/a', false],
    [{ type: 'matchRepository' }, 'r.io/a:1', 'not a name', false],
    [{ type: 'exactReference', dockerReference: 'up.io/a:1' }, 'r.io/a:2', 'up.io/a:1', true],
    [{ type: 'exactReference', dockerReference: 'up.io/a:1' }, 'r.io/a:2', 'up.io/a', false],
    [{ type: 'exactRepository', dockerRepository: 'up.io/a' }, 'r.io/a:2', 'up.io/a', true],
    [{ type: 'exactRepository', dockerRepository: 'up.io/a' }, 'r.io/a:2', 'r.io/a', false],
    [{ type: 'remapIdentity', prefix: 'm.io/up', signedPrefix: 'up.io' }, 'm.io/up/a:1', 'up.io/a:1', true],
    [
      { type: 'remapIdentity', prefix: 'm.io/up', signedPrefix: 'up.io' },
      'm.io/upper/a:1',
      'up.io/a:1',
      false,
    ],
    [{ type: 'remapIdentity', prefix: 'm.io/up', signedPrefix: 'up.io' }, 'x.io/a:1', 'x.io/a:1', true],
    [{ type: 'remapIdentity', prefix: 'm.io', signedPrefix: 'up.io/x' }, 'm.io/a:1', 'up.io/x/a:1', true],
    [{ type: 'matchDigest' }, 'r.io/a:1', 'x.io/b', true],
  ];
  for (const [identity, image, signed, isGood] of cases) {
    const problem = identityProblem(identity, parseReference(image), signed);
    assert.equal(problem === undefined, isGood, `${identity.type} ${image} ${signed}: ${problem}`);
  }
});

test("for cosign's names without a tag, the message says which identity accepts them", () => {
  const image = parseReference('r.io/a:1');
  const identity = { type: 'matchRepoDigestOrExact' } as const;
  assert.match(
    identityProblem(identity, image, 'r.io/a')!,
    /"signedIdentity": \{"type": "matchRepository"\}/,
  );
  assert.doesNotMatch(identityProblem(identity, image, 'r.io/b')!, /matchRepository/);
});
