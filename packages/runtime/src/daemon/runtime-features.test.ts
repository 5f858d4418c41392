import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { after, before, describe, it } from 'node:test';
import { runtimeFeatures } from './runtime-features.ts';

describe('runtimeFeatures', () => {
  let dir: string;
  before(() => {
    dir = mkdtempSync(`${tmpdir()}/features-`);
  });
  after(() => rmSync(dir, { recursive: true }));
  /** Of a program whose command `features` prints this. */
  const featuresOf = (name: string, printed: string) => {
    const program = `${dir}/${name}`;
    writeFileSync(program, `#!/bin/sh\n[ "$*" = features ] || exit 1\ncat <<'E'\n${printed}\nE\n`, {
      mode: 0o755,
    });
    return runtimeFeatures({ name, program }, '6.12.0');
  };

  const crun = 'run.oci.crun.version';
  const runc = 'org.opencontainers.runc.version';
  const versions: [annotation: string, version: string, chownsDevices: boolean][] = [
    [crun, '1.8.6', true],
    [crun, '1.23.1', true],
    [crun, '1.24', false],
    [crun, '2.0', false],
    [runc, '1.1.2', false],
    [runc, '1.1.3', true],
    [runc, '1.1.4-0ubuntu1', true],
    [runc, '1.1.5+ds1', false],
    [runc, '1.1.40', false],
    [runc, '1.3.0', false],
    ['org.example.version', '1', true],
  ];
  for (const [annotation, version, chownsDevices] of versions) {
    it(`${annotation} ${version}: ${chownsDevices ? 'gives' : 'does not give'} devices to users`, async () => {
      const features = await featuresOf('some', JSON.stringify({ annotations: { [annotation]: version } }));
      assert.equal(features.chownsDevices, chownsDevices);
    });
  }

  it('expects little good of a program that says nothing', async () => {
    assert.deepEqual(await featuresOf('silent', ''), {
      recursiveReadOnlyMounts: false,
      userNamespaces: { problem: 'silent has no user namespaces' },
      chownsDevices: true,
    });
  });
});
