import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { describe, it } from 'node:test';
import { PodSandboxConfig } from '../gen/api.ts';
import { KeyedMutex } from './keyed-mutex.ts';
import { NameRegistry } from './names.ts';
import type { Sandbox } from './records.ts';
import { Store } from './store.ts';

const sandbox = (id: string): Sandbox => ({
  id,
  name: `name-${id}`,
  state: 'ready',
  createdAtNs: 1_764_000_000_123_456_789n,
  runtimeHandler: '',
  namespaces: { network: 'pod', ipc: 'pod', pid: 'container' },
  cgroupParent: '/x',
  ownsCgroupParent: false,
  ips: ['10.0.0.1'],
  bootId: 'b',
  config: PodSandboxConfig.fromPartial({
    metadata: { name: 'ü' },
    annotations: { 'a/b': '5n' },
    labels: { xNs: '1' },
  }),
});

describe('Store', () => {
  it('has everything again after a restart, to the nanosecond', () => {
    const dir = mkdtempSync(`${tmpdir()}/store-`);
    {
      using store = new Store(`${dir}/db`);
      store.sandboxes.add(sandbox('aa11'));
      store.sandboxes.add(sandbox('ab22'));
      store.sandboxes.update(store.sandboxes.get('aa11')!, { state: 'notready', network: 'n' });
      store.sandboxes.remove('ab22');
    }
    using store = new Store(`${dir}/db`);
    assert.deepEqual(store.sandboxes.list(), [{ ...sandbox('aa11'), state: 'notready', network: 'n' }]);
    rmSync(dir, { recursive: true });
  });

  it('finds rows by unique prefix', () => {
    using store = new Store(':memory:');
    store.sandboxes.add(sandbox('aa11'));
    store.sandboxes.add(sandbox('ab22'));
    assert.equal(store.sandboxes.find('aa')?.id, 'aa11');
    assert.equal(store.sandboxes.find('a'), undefined);
    assert.equal(store.sandboxes.find(''), undefined);
    assert.equal(store.sandboxes.find('ab22')?.id, 'ab22');
  });

  it('refuses a second row of one name and keeps the first', () => {
    using store = new Store(':memory:');
    store.sandboxes.add(sandbox('aa11'));
    assert.throws(() => store.sandboxes.add({ ...sandbox('cc33'), name: 'name-aa11' }), /UNIQUE/);
    assert.equal(store.sandboxes.get('cc33'), undefined);
  });
});

describe('NameRegistry', () => {
  it('says who owns a name, or that it is being made and at which step', () => {
    const names = new NameRegistry('sandbox');
    names.reserve('n', 'id1', 'record');
    names.setStep('n', 'network');
    assert.throws(() => names.reserve('n', 'id2', 'record'), {
      code: 'aborted',
      message: /at step "network" as id1/,
    });
    names.setStep('n', undefined);
    assert.throws(() => names.reserve('n', 'id2', 'record'), {
      code: 'already-exists',
      message: /taken by id1/,
    });
    names.release('n');
    names.reserve('n', 'id2', 'record');
  });
});

describe('KeyedMutex', () => {
  it('runs one at a time for each key, in order, also after a failure', async () => {
    const mutex = new KeyedMutex();
    const log: string[] = [];
    const work =
      (name: string, fail = false) =>
      async () => {
        log.push(`${name}+`);
        await new Promise((resolve) => setImmediate(resolve));
        log.push(`${name}-`);
        if (fail) throw new Error(name);
      };
    const results = await Promise.allSettled([
      mutex.run('k', work('a', true)),
      mutex.run('k', work('b')),
      mutex.run('other', work('c')),
      mutex.run('k', work('d')),
    ]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ['rejected', 'fulfilled', 'fulfilled', 'fulfilled'],
    );
    assert.deepEqual(
      log.filter((entry) => !entry.startsWith('c')),
      ['a+', 'a-', 'b+', 'b-', 'd+', 'd-'],
    );
    assert.ok(log.indexOf('c+') < log.indexOf('b+'));
  });
});
