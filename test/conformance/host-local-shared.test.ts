import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { subjects } from './lib/subjects.ts';
import { call, failureOf, World } from './lib/world.ts';

const [inProcess, executed, reference] = subjects as [
  (typeof subjects)[0],
  (typeof subjects)[0],
  (typeof subjects)[0],
];

test('ours and the reference on one directory, fifty ADDs at once: every address once', async () => {
  using world = new World();
  const config = {
    type: 'host-local',
    cniVersion: '1.0.0',
    ipam: { type: 'host-local', subnet: '10.99.0.0/24', dataDir: world.dataDir },
  };
  const turns = Array.from({ length: 50 }, (_, i) =>
    i % 10 === 9 ? executed : i % 2 === 0 ? inProcess : reference,
  );
  const results = await Promise.all(
    turns.map((subject, i) => call(subject, 'ADD', config, { containerID: `c${i}`, netns: '/dummy' })),
  );
  const given = results.map(({ ips }) => ips![0]!.address.split('/')[0]!);
  assert.equal(new Set(given).size, 50);
  assert.deepEqual(world.reservations('testnet'), given.toSorted());
  for (const [i, ip] of given.entries()) assert.equal(world.reservation('testnet', ip), `c${i}\r\neth0`);
  // Each takes down what another one made.
  const others = turns.map((subject) => (subject === reference ? inProcess : reference));
  await Promise.all(
    others.map((subject, i) => call(subject, 'DEL', config, { containerID: `c${i}`, netns: '/dummy' })),
  );
  assert.deepEqual(world.reservations('testnet'), []);
});

test('a lock that is not let go: waiters give up and name its holder (CNI-16)', async () => {
  using world = new World();
  const config = {
    type: 'host-local',
    ipam: { type: 'host-local', subnet: '10.99.0.0/24', dataDir: world.dataDir },
  };
  const lock = join(world.makeDir('ipam/testnet'), 'lock');
  const holder = spawn('flock', [lock, 'sleep', '60'], { stdio: 'ignore', detached: true });
  try {
    await sleep(300);
    const add = (containerID: string) => call(inProcess, 'ADD', config, { containerID, netns: '/dummy' });
    const waiting = failureOf(add('a'));
    const error = await waiting;
    assert.equal(error.number, 11);
    assert.match(
      error.message,
      /lock ".*\/ipam\/testnet\/lock": still held after 15000 ms; held by process \d+/,
    );
    assert.deepEqual(world.reservations('testnet'), []);
    process.kill(-holder.pid!, 'SIGKILL');
    await once(holder, 'exit');
    assert.equal((await add('b')).ips![0]!.address, '10.99.0.2/24');
  } finally {
    if (holder.exitCode === null && holder.signalCode === null) process.kill(-holder.pid!, 'SIGKILL');
  }
});
