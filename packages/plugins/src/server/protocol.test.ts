import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeHello, encodeFrame, encodeOutput } from './protocol.ts';

test('a frame', () => {
  assert.deepEqual([...encodeFrame('S')], [0x53, 0, 0, 0, 0]);
  assert.deepEqual([...encodeFrame('N', Buffer.from('ab'))], [0x4e, 2, 0, 0, 0, 0x61, 0x62]);
});

test('hello', () => {
  const hello = decodeHello(Buffer.from('0.1.0\0/opt/x\0bridge\0A=1\0B=x=y\0A=2\0C=\0'));
  assert.deepEqual(hello, {
    version: '0.1.0',
    root: '/opt/x',
    type: 'bridge',
    env: { A: '1', B: 'x=y', C: '' },
  });
  assert.deepEqual(decodeHello(Buffer.from('v\0\0t\0')).env, {});
});

test('what is no hello is refused, whatever it is', () => {
  for (const text of ['', 'v\0r\0t', 'v\0r\0', 'no zero at all'])
    assert.throws(() => decodeHello(Buffer.from(text)), /not of the form/);
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      try {
        const { version, env } = decodeHello(Buffer.from(bytes));
        return typeof version === 'string' && Object.values(env).every((value) => typeof value === 'string');
      } catch (error) {
        return error instanceof RangeError;
      }
    }),
  );
});

test('output with text of more than one byte a letter', () => {
  const bytes = encodeOutput({ exitCode: 1, stdout: 'ä', stderr: 'xy' });
  assert.deepEqual([...bytes], [1, 2, 0, 0, 0, 0xc3, 0xa4, 0x78, 0x79]);
});
