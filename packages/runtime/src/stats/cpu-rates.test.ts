import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CpuRates } from './cpu-rates.ts';

const second = 1_000_000_000n;

describe('CpuRates', () => {
  it('has no rate at the first reading, then that since the reading before', () => {
    const rates = new CpuRates();
    assert.equal(rates.note('/a', { atNs: 0n, usageNs: 100n }), undefined);
    assert.equal(rates.note('/a', { atNs: 2n * second, usageNs: 100n + second }), second / 2n);
    assert.equal(rates.note('/a', { atNs: 4n * second, usageNs: 100n + second }), 0n);
  });
  it('answers with the last rate within a second, and does not count from there', () => {
    const rates = new CpuRates();
    rates.note('/a', { atNs: 0n, usageNs: 0n });
    assert.equal(rates.note('/a', { atNs: second / 2n, usageNs: second / 2n }), undefined);
    assert.equal(rates.note('/a', { atNs: second, usageNs: second / 4n }), second / 4n);
    assert.equal(rates.note('/a', { atNs: second + 1n, usageNs: second }), second / 4n);
  });
  it('begins anew with a group of the same name, and after forget', () => {
    const rates = new CpuRates();
    rates.note('/a', { atNs: 0n, usageNs: 500n });
    assert.equal(rates.note('/a', { atNs: 9n * second, usageNs: 5n }), undefined);
    rates.forget('/a');
    assert.equal(rates.note('/a', { atNs: 19n * second, usageNs: 10n }), undefined);
  });
});
