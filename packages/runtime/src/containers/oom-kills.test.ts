import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { attributeOomKills } from './oom-kills.ts';

describe('attributeOomKills', () => {
  const alone = { othersEnded: false };
  it('[RES-01] believes the container’s own counter', () => {
    assert.deepEqual(attributeOomKills({ own: 2, now: 2, before: 0, ...alone }), { kills: 2, accounted: 2 });
    assert.deepEqual(attributeOomKills({ own: 0, now: 5, before: 5, ...alone }), { kills: 0, accounted: 5 });
  });
  it('[RES-01] without it, takes what the pod’s counter has more than before', () => {
    assert.deepEqual(attributeOomKills({ own: undefined, now: 3, before: 1, ...alone }), {
      kills: 2,
      accounted: 3,
    });
    assert.deepEqual(attributeOomKills({ own: undefined, now: 3, before: 3, ...alone }), {
      kills: 0,
      accounted: 3,
    });
  });
  it('[RES-01] leaves another one that has ended its share', () => {
    const first = attributeOomKills({ own: undefined, now: 2, before: 0, othersEnded: true });
    assert.deepEqual(first, { kills: 1, accounted: 1 });
    const second = attributeOomKills({ own: undefined, now: 2, before: first.accounted, ...alone });
    assert.deepEqual(second, { kills: 1, accounted: 2 });
  });
  it('[RES-01] one whose counter is there takes nothing of the share of another', () => {
    const first = attributeOomKills({ own: 1, now: 2, before: 0, othersEnded: true });
    assert.deepEqual(first, { kills: 1, accounted: 1 });
    assert.equal(attributeOomKills({ own: undefined, now: 2, before: first.accounted, ...alone }).kills, 1);
  });
  it('[RES-01] a counter that begins anew, with a slice made anew, proves nothing', () =>
    assert.deepEqual(attributeOomKills({ own: undefined, now: 0, before: 7, ...alone }), {
      kills: 0,
      accounted: 0,
    }));
});
