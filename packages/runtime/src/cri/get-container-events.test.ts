import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RuntimeContext } from '../context.ts';
import { Events } from '../events.ts';
import type { Sandbox } from '../store/records.ts';
import { getContainerEvents } from './get-container-events.ts';

test('a client that has gone away is forgotten: no more messages are made for it', async () => {
  let made = 0;
  const events = new Events();
  const store = {
    sandboxes: {
      get() {
        made++;
      },
    },
    containersOf: () => [],
  };
  const sandbox = { id: 'pod' } as Sandbox;
  const client = new AbortController();
  const stream = getContainerEvents({ events, store } as never as RuntimeContext, {}, client);
  events.sandbox('created', sandbox);
  client.abort();
  events.sandbox('started', sandbox);
  assert.equal(made, 1);
  const received: string[] = [];
  for await (const { containerId } of stream) received.push(containerId);
  assert.deepEqual(received, ['pod']);
});
