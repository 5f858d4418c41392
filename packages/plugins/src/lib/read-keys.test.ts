import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type NetConf, parseJson } from '@amphipod/cni';
import { findIpMasq, readIpMasq } from './ip-masq.ts';
import { readKeys } from './read-keys.ts';

function read(text: string) {
  return readKeys(parseJson(text) as NetConf, 'a.');
}

test('keys in another case are found, for ADD and for DEL', () => {
  for (const keys of [{ ipMasq: true }, { IPMasq: true }, { ipmasq: true, ipmasqbackend: 'iptables' }]) {
    const config: NetConf = { cniVersion: '1.0.0', name: 'n', type: 'bridge', ...keys };
    const masq = readIpMasq(readKeys(config));
    assert.equal(masq?.backend, 'ipmasqbackend' in keys ? 'iptables' : 'nftables');
    assert.deepEqual(findIpMasq({ config }), masq);
  }
  assert.equal(read('{ "B": 1, "b": 2 }').integer('b', 0, 5), 2, 'an exact match goes before the first');
});

test('integers of more digits than are exact', () => {
  const keys = read('{ "rate": 18446744073709551615, "below": -18446744073709551615, "one": 1.0 }');
  assert.equal(keys.integer('rate', 0, 2 ** 64), 2 ** 64);
  const message = 'key "a.rate": got 18446744073709551615, want an integer from 0 to 5';
  assert.throws(() => keys.integer('rate', 0, 5), { message, key: 'a.rate' });
  for (const key of ['below', 'one']) assert.throws(() => keys.integer(key, -5, 5), { key: `a.${key}` });
});

test('lists of lists, and members', () => {
  const keys = read(
    '{ "sets": [[{ "x": 1 }], [{}, { "x": "y" }]], "flat": [{}], "names": { "b": "1", "a": "2" } }',
  );
  const [, second] = keys.objectLists('sets', 'ranges')!;
  assert.throws(() => second![1]!.integer('x', 0, 5), { key: 'a.sets[1][1].x' });
  assert.throws(() => keys.objectLists('flat', 'ranges'), /key "a\.flat": .*want a list of lists of ranges/);
  assert.equal(keys.objectLists('none', 'ranges'), undefined);
  assert.deepEqual(keys.stringMembers('names'), [
    ['b', '1'],
    ['a', '2'],
  ]);
  assert.throws(() => read('{ "names": { "x": 1 } }').stringMembers('names'), { key: 'a.names.x' });
});
