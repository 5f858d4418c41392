import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseLoadSource } from './load-source.ts';

describe('parseLoadSource', () => {
  it('knows the three transports', () => {
    assert.deepEqual(parseLoadSource('oci-archive:/a/b.tar'), { kind: 'oci-archive', path: '/a/b.tar' });
    assert.deepEqual(parseLoadSource('oci:/a/dir:x/y:1'), {
      kind: 'oci-layout',
      path: '/a/dir',
      reference: 'x/y:1',
    });
    assert.equal(parseLoadSource('docker-archive:/d.tar')?.kind, 'docker-archive');
  });
  it('leaves ordinary references alone, also of hosts named like a transport', () => {
    for (const name of ['busybox', 'quay.io/a/b:1', 'oci:5000/x', '127.0.0.1:5000/oci:/']) {
      assert.equal(parseLoadSource(name), undefined, name);
    }
  });
  it('refuses relative paths', () => {
    assert.throws(() => parseLoadSource('oci-archive:x.tar'), /the path must be absolute/);
  });
});
