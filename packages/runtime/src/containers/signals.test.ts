import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Signal } from '../gen/api.ts';
import { criSignal, signalNumber, stopSignalOf } from './signals.ts';

const unexpected = (why: string) => assert.fail(why);

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
    assert.equal(stopSignalOf(Signal.SIGNAL_SIGRTMINPLUS3, 'SIGQUIT', unexpected), 'SIGRTMIN+3');
    assert.equal(stopSignalOf(Signal.SIGNAL_RUNTIME_DEFAULT, 'SIGQUIT', unexpected), 'SIGQUIT');
    assert.equal(stopSignalOf(Signal.SIGNAL_RUNTIME_DEFAULT, undefined, unexpected), 'SIGTERM');
  });
});

describe('an image’s StopSignal (LIF-01)', () => {
  const cases: [string, number][] = [
    ['SIGRTMIN+3', 37],
    ['RTMIN+3', 37],
    ['SIGRTMAX-1', 63],
    ['37', 37],
    ['SIGINT', 2],
    ['INT', 2],
    ['sigquit', 3],
    ['', 15],
  ];
  for (const [text, number] of cases) {
    it(`${JSON.stringify(text)} is ${number}`, () =>
      assert.equal(signalNumber(stopSignalOf(Signal.SIGNAL_RUNTIME_DEFAULT, text, unexpected)), number));
  }
  for (const text of ['SIGFOO', '0', '99']) {
    it(`${JSON.stringify(text)} is told of, and SIGTERM`, () => {
      const told: string[] = [];
      const signal = stopSignalOf(Signal.SIGNAL_RUNTIME_DEFAULT, text, (why) => told.push(why));
      assert.equal(signal, 'SIGTERM');
      assert.match(told.join(), new RegExp(`signal "${text}": unknown`));
    });
  }
});

describe('criSignal', () => {
  it('finds the value of every CRI signal again', () => {
    for (const [name, value] of Object.entries(Signal)) {
      if (value === Signal.SIGNAL_RUNTIME_DEFAULT) continue;
      // Two names of one number (SIGCLD, SIGIOT, SIGPOLL) come back as the first.
      const number = signalNumber(stopSignalOf(value, undefined, unexpected));
      assert.equal(
        signalNumber(stopSignalOf(criSignal(String(number)), undefined, unexpected)),
        number,
        name,
      );
    }
  });
});
