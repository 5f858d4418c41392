import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { allSubjects, type Subject } from './lib/subjects.ts';
import { call, failureOf, run, World } from './lib/world.ts';

const inProcess = allSubjects.find(({ isExecutable }) => !isExecutable)!;
const executed = allSubjects.filter(({ isOurs, isExecutable }) => isOurs && isExecutable);
const [withoutServer] = executed as [Subject, ...Subject[]];
const reference = allSubjects.find(({ isOurs }) => !isOurs)!;

type Config = Parameters<typeof call>[2];

function configFor(world: World, subnet: string): Config {
  return {
    type: 'host-local',
    cniVersion: '1.0.0',
    ipam: { type: 'host-local', subnet, dataDir: world.dataDir },
  };
}

/** Addresses given out, as a map from the container to its address. */
async function addAll(config: Config, turns: readonly [Subject, string][]): Promise<Map<string, string>> {
  const results = await Promise.all(
    turns.map(async ([subject, containerID]): Promise<[string, string]> => {
      const { ips } = await call(subject, 'ADD', config, { containerID, netns: '/dummy' });
      return [containerID, ips![0]!.address.split('/')[0]!];
    }),
  );
  return new Map(results);
}

async function delAll(config: Config, turns: readonly [Subject, string][]): Promise<void> {
  // Neither namespace nor result is needed (CNI-06).
  await Promise.all(turns.map(([subject, containerID]) => call(subject, 'DEL', config, { containerID })));
}

function assertHeld(world: World, held: ReadonlyMap<string, string>): void {
  assert.equal(new Set(held.values()).size, held.size, 'an address given twice');
  assert.deepEqual(world.reservations('testnet'), [...held.values()].toSorted());
  for (const [containerID, ip] of held) {
    assert.equal(world.reservation('testnet', ip), `${containerID}\r\neth0`);
  }
}

/** Every tenth is ours executed, one way or the other; of the others one half each. */
function turnOf(i: number, shift = 0): Subject {
  if (i % 10 === 9) return executed[Math.floor(i / 10) % executed.length]!;
  return (i + shift) % 2 === 0 ? inProcess : reference;
}

test('ours and the reference on one directory, 200 ADDs and DELs at once: every address once', async () => {
  using world = new World();
  const config = configFor(world, '10.99.0.0/23');
  const turns = (from: number, to: number, shift = 0) =>
    Array.from({ length: to - from }, (_, i): [Subject, string] => [turnOf(from + i, shift), `c${from + i}`]);
  const held = await addAll(config, turns(0, 200));
  assertHeld(world, held);
  // Half of them go, by the other implementation, while as many come.
  const [come] = await Promise.all([addAll(config, turns(200, 300)), delAll(config, turns(0, 100, 1))]);
  for (let i = 0; i < 100; i++) held.delete(`c${i}`);
  assertHeld(world, new Map([...held, ...come]));
  await delAll(config, turns(100, 300, 1));
  assert.deepEqual(world.reservations('testnet'), []);
});

test('what the reference does between two calls of ours is seen', async () => {
  using world = new World();
  const config = configFor(world, '10.99.0.0/24');
  for (const ours of [inProcess, ...executed]) {
    const id = ours.name.replaceAll(/[^a-z]+/g, '-');
    await addAll(config, [[ours, `${id}-1`]]);
    // Freed and given to another one behind our back, with the same name.
    await delAll(config, [[reference, `${id}-1`]]);
    await addAll(config, [[reference, `${id}-2`]]);
    const again = await failureOf(addAll(config, [[ours, `${id}-2`]]));
    assert.match(again.message, new RegExp(`has been allocated to ${id}-2, duplicate allocation`));
    await addAll(config, [[ours, `${id}-1`]]);
    await delAll(config, [
      [ours, `${id}-2`],
      [ours, `${id}-1`],
    ]);
    assert.deepEqual(world.reservations('testnet'), []);
  }
});

test('thousands of reservations, of owners with several addresses: each DEL takes its own', async () => {
  using world = new World();
  const config = configFor(world, '10.99.0.0/16');
  const dir = world.makeDir('ipam/testnet');
  for (let i = 0; i < 3000; i++) {
    writeFileSync(join(dir, `10.99.${100 + (i >> 8)}.${i & 255}`), `many${i >> 2}\r\neth0`);
  }
  for (let i = 0; i < 600; i++) {
    await call(inProcess, 'ADD', config, { containerID: `new${i}`, netns: '/dummy' });
  }
  assert.equal(world.reservations('testnet').length, 3600);
  for (let i = 0; i < 750; i++) await call(inProcess, 'DEL', config, { containerID: `many${i}` });
  for (let i = 0; i < 600; i += 2) await call(inProcess, 'DEL', config, { containerID: `new${i}` });
  assert.equal(world.reservations('testnet').length, 300);
  for (let i = 1; i < 600; i += 2)
    await call(i < 5 ? withoutServer : inProcess, 'DEL', config, { containerID: `new${i}` });
  assert.deepEqual(world.reservations('testnet'), []);
});

test('an index that cannot be made, is damaged, or proves nothing is done without', async () => {
  using world = new World();
  const config = configFor(world, '10.99.0.0/24');
  const round = async (id: string) => {
    await addAll(config, [[inProcess, id]]);
    await failureOf(addAll(config, [[inProcess, id]]));
    await delAll(config, [[inProcess, id]]);
    assert.deepEqual(world.reservations('testnet'), []);
  };
  await round('first');
  const dir = join(world.dataDir, 'testnet');
  const { dev, ino } = statSync(dir, { bigint: true });
  const index = `/run/amphipod/host-local/${dev}-${ino}`;
  assert.ok(statSync(index).size > 0);
  writeFileSync(index, 'damaged');
  await round('damaged');
  run('rm', index);
  mkdirSync(index);
  await round('directory');
  run('rmdir', index);
  // Somebody who sets times cannot make it a true one.
  await addAll(config, [[inProcess, 'timed']]);
  await delAll(config, [[reference, 'timed']]);
  utimesSync(dir, 1, 1);
  await round('timed');
  run('rm', '-r', '/run/amphipod/host-local');
  symlinkSync('/proc', '/run/amphipod/host-local');
  await round('read-only');
  run('rm', '/run/amphipod/host-local');
});

test('killed at any moment: no file without an owner (CNI-02), and the rest goes on', async () => {
  using world = new World();
  const config = configFor(world, '10.99.0.0/24');
  const started = performance.now();
  await call(withoutServer, 'ADD', config, { containerID: 'whole', netns: '/dummy' });
  const wholeMs = performance.now() - started;
  const program = withoutServer.invoker.find('host-local').path;
  const input = JSON.stringify({ name: 'testnet', ...config });
  for (let i = 0; i < 24; i++) {
    const child = spawn(program, {
      stdio: ['pipe', 'ignore', 'ignore'],
      env: {
        ...process.env,
        CNI_COMMAND: 'ADD',
        CNI_CONTAINERID: `killed${i}`,
        CNI_NETNS: '/dummy',
        CNI_IFNAME: 'eth0',
        CNI_PATH: '/',
      },
    });
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    const exited = once(child, 'exit');
    await sleep(wholeMs * (0.6 + 0.02 * i));
    child.kill('SIGKILL');
    await exited;
  }
  const owners = world
    .reservations('testnet')
    .filter((name) => name !== '.new')
    .map((ip) => world.reservation('testnet', ip));
  for (const owner of owners) assert.match(owner, /^(whole|killed\d+)\r\neth0$/);
  for (const subject of [inProcess, reference]) await addAll(config, [[subject, `after-${subject.isOurs}`]]);
  const everybody = [
    'whole',
    'after-true',
    'after-false',
    ...Array.from({ length: 24 }, (_, i) => `killed${i}`),
  ];
  await delAll(
    config,
    everybody.map((id): [Subject, string] => [inProcess, id]),
  );
  assert.deepEqual(
    world.reservations('testnet').filter((name) => name !== '.new'),
    [],
  );
});

test('reboots: GC with what is there afterwards keeps the pool small (CNI-01)', async () => {
  using world = new World();
  const config = { ...configFor(world, '10.99.0.0/28'), cniVersion: '1.1.0' };
  for (let boot = 0; boot < 5; boot++) {
    const ids = Array.from({ length: 8 }, (_, i) => `boot${boot}-${i}`);
    // Nothing was told to go: its namespaces went with the machine.
    await call(inProcess, 'GC', config, { validAttachments: [] });
    const held = await addAll(
      config,
      ids.map((id): [Subject, string] => [inProcess, id]),
    );
    assertHeld(world, held);
    await call(inProcess, 'GC', config, {
      validAttachments: ids.map((containerID) => ({ containerID, ifName: 'eth0' })),
    });
    assertHeld(world, held);
  }
});

test('a lock that is not let go: 200 waiters give up and name its holder (CNI-16)', async () => {
  using world = new World();
  const config = configFor(world, '10.99.0.0/23');
  const lock = join(world.makeDir('ipam/testnet'), 'lock');
  const holder = spawn('flock', [lock, 'sleep', '60'], { stdio: 'ignore', detached: true });
  try {
    await sleep(300);
    const ids = Array.from({ length: 200 }, (_, i) => `c${i}`);
    const errors = await Promise.all(ids.map((id) => failureOf(addAll(config, [[inProcess, id]]))));
    for (const error of errors) {
      assert.equal(error.number, 11);
      assert.match(
        error.message,
        /lock ".*\/ipam\/testnet\/lock": still held after 15000 ms; held by process \d+/,
      );
    }
    assert.deepEqual(world.reservations('testnet'), []);
    process.kill(-holder.pid!, 'SIGKILL');
    await once(holder, 'exit');
    assertHeld(
      world,
      await addAll(
        config,
        ids.map((id): [Subject, string] => [inProcess, id]),
      ),
    );
  } finally {
    if (holder.exitCode === null && holder.signalCode === null) process.kill(-holder.pid!, 'SIGKILL');
  }
});
