import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ListPodSandboxResponse, PodSandbox, PodSandboxConfig, PodSandboxState } from '../gen/api.ts';
import type { Sandbox } from '../store/records.ts';
import { Store } from '../store/store.ts';
import { EncodedRows } from './encoded.ts';
import { sandboxListItem } from './list-pod-sandbox.ts';

function newSandbox(id: string, annotation = ''): Sandbox {
  return {
    id,
    name: id,
    config: PodSandboxConfig.fromPartial({ metadata: { name: id }, annotations: { text: annotation } }),
    state: 'ready',
    createdAtNs: 1n,
    runtimeHandler: '',
    namespaces: { network: 'pod', ipc: 'pod', pid: 'pod' },
    cgroupParent: '/x',
    ownsCgroupParent: false,
    ips: [],
    bootId: 'b',
  };
}

describe('EncodedRows', () => {
  it('is what the message encodes to, for items of every length', () => {
    using store = new Store(':memory:');
    const sandboxes = ['', 'x'.repeat(120), 'x'.repeat(20_000), 'x'.repeat(2_100_000)].map((text, i) =>
      newSandbox(`${i}`, text),
    );
    for (const sandbox of sandboxes) store.sandboxes.add(sandbox);
    const rows = new EncodedRows<Sandbox>((row) => PodSandbox.encode(sandboxListItem(row)).finish());
    const whole = ListPodSandboxResponse.encode({ items: sandboxes.map(sandboxListItem) }).finish();
    assert.ok(rows.list(store.sandboxes, sandboxes).equals(whole));
    assert.deepEqual(rows.list(store.sandboxes, []), Buffer.alloc(0));
  });

  it('encodes again what has changed, and nothing else', () => {
    using store = new Store(':memory:');
    const [a, b] = [newSandbox('a'), newSandbox('b')];
    store.sandboxes.add(a);
    store.sandboxes.add(b);
    const encoded: string[] = [];
    const rows = new EncodedRows<Sandbox>((row) => {
      encoded.push(row.id);
      return PodSandbox.encode(sandboxListItem(row)).finish();
    });
    const states = () => {
      encoded.length = 0;
      const bytes = rows.all(store.sandboxes, () => store.sandboxes.list());
      return ListPodSandboxResponse.decode(bytes).items.map(({ state }) => state);
    };
    const [ready, notReady] = [PodSandboxState.SANDBOX_READY, PodSandboxState.SANDBOX_NOTREADY];
    assert.deepEqual(
      [states(), encoded],
      [
        [ready, ready],
        ['a', 'b'],
      ],
    );
    assert.deepEqual([states(), encoded], [[ready, ready], []]);
    store.sandboxes.update(a, { state: 'notready' });
    assert.deepEqual([states(), encoded], [[notReady, ready], ['a']]);
    store.sandboxes.remove('a');
    assert.deepEqual([states(), encoded], [[ready], []]);
  });
});
