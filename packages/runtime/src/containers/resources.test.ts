import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LinuxContainerResources } from '../gen/api.ts';
import { clampOomScoreAdj, containerResources } from './resources.ts';

describe('containerResources', () => {
  it('leaves zeros out and keeps a quota of -1', () => {
    const resources = LinuxContainerResources.fromPartial({
      cpuQuota: -1n,
      memoryLimitInBytes: 1024n,
      cpusetCpus: '0',
    });
    assert.deepEqual(containerResources(resources), {
      cpu: { quota: -1, cpus: '0' },
      memory: { limit: 1024 },
    });
    assert.deepEqual(containerResources(undefined), {});
  });
});

describe('clampOomScoreAdj', () => {
  const without = { status: 'CapEff:\t000001fffeffffff\n', own: '0\n' };
  const having = { status: 'CapEff:\t000001ffffffffff\n', own: '0\n' };
  it('does not go below its own value without CAP_SYS_RESOURCE', () => {
    assert.equal(clampOomScoreAdj(-997, without), 0);
    assert.equal(clampOomScoreAdj(500, without), 500);
    assert.equal(clampOomScoreAdj(-997, having), -997);
  });
});
