import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Signal } from '../gen/api.ts';
import { criSignal, signalNumber, stopSignalOf } from './signals.ts';

describe('signalNumber', () => {
  const cases: [string, number][] = [
    ['SIGTERM', 15],
    ['term', 15],
    ['9', 9],
    ['SIGCLD', 17],
    ['SIGRTMIN', 34],
    ['SIGRTMIN+3', 37],
    ['RTMAX-2', 62],
    ['SIGRTMAX', 64],
  ];
  for (const [text, number] of cases) it(text, () => assert.equal(signalNumber(text), number));
  for (const text of ['', 'SIGNOPE', '0', '65', 'SIGRTMIN+31', '-1', '1.5']) {
    it(`refuses ${JSON.stringify(text)}`, () =>
      assert.throws(() => signalNumber(text), { code: 'invalid-argument' }));
  }
});

describe('stopSignalOf', () => {
  it('asks the pod, then the image, then TERM', () => {
    assert.equal(stopSignalOf(Signal.SIGNAL_SIGRTMINPLUS3, 'SIGQUIT'), 'SIGRTMIN+3');
    assert.equal(stopSignalOf(Signal.SIGNAL_RUNTIME_DEFAULT, 'SIGQUIT'), 'SIGQUIT');
    assert.equal(stopSignalOf(Signal.SIGNAL_RUNTIME_DEFAULT, undefined), 'SIGTERM');
  });
});

describe('criSignal', () => {
  it('finds the value of every CRI signal again', () => {
    for (const [name, value] of Object.entries(Signal)) {
      if (value === Signal.SIGNAL_RUNTIME_DEFAULT) continue;
      // Two names of one number (SIGCLD, SIGIOT, SIGPOLL) come back as the first.
      const number = signalNumber(stopSignalOf(value, undefined));
      assert.equal(signalNumber(stopSignalOf(criSignal(String(number)), undefined)), number, name);
    }
  });
});
