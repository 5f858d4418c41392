import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareVersions, selectVersion } from './versions.ts';

test('versions', () => {
  assert.ok(compareVersions('0.10.0', '0.9.1') > 0);
  assert.equal(compareVersions('', '0.1.0'), 0);
  assert.equal(selectVersion(['9.0.0']), undefined);
});
