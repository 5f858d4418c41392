import assert from 'node:assert/strict';
import { test } from 'node:test';
import { goRegExp } from './go-regexp.ts';

test('what Go writes otherwise than JavaScript', () => {
  for (const [text, matching, others] of [
    [
      '^net\\.ipv4\\.conf\\.[a-z]+\\.rp_filter$',
      ['net.ipv4.conf.all.rp_filter'],
      ['net.ipv4.conf.eth0.rp_filter'],
    ],
    ['(?i)NET.core', ['net.core.somaxconn'], ['net/ipv4']],
    ['^[[:alpha:]_]+[[:digit:]]$', ['eth_0'], ['eth', '0']],
    ['\\Anet\\z', ['net'], ['net.', 'a\nnet']],
    ['\\Qa.b-c\\E[0-9]', ['a.b-c1'], ['axb-c1']],
    ['net\\/ipv4\\-\\"x\\"', ['net/ipv4-"x"'], ['net/ipv4x']],
    ['(?P<family>ipv[46])\\.', ['net.ipv6.conf'], ['net.core']],
  ] as const) {
    for (const key of matching) assert.ok(goRegExp(text).test(key), `${text} ${key}`);
    for (const key of others) assert.ok(!goRegExp(text).test(key), `${text} ${key}`);
  }
});

test('what is no regular expression is an error, not a match for nothing', () => {
  for (const text of ['(', '[[:nothing:]]', '\\y', 'a{2', '(?<=a', '[[:^digit:]]']) {
    assert.throws(() => goRegExp(text), SyntaxError, text);
  }
});
