import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { add, del, firstIp, ipamConfig } from './lib/host-local.ts';
import { type Subject, subjects } from './lib/subjects.ts';
import { call, failureOf, run, World } from './lib/world.ts';

for (const subject of subjects) {
  describe(`host-local beyond the reference, ${subject.name}`, () => {
    oursOnly(subject);
  });
}

function oursOnly(subject: Subject): void {
  const skip = subject.isOurs ? false : 'the reference does not do this';

  test('an empty file of a crash is taken back (CNI-02)', { skip }, async () => {
    using world = new World();
    const config = ipamConfig(world, {
      subnet: '10.99.0.0/30',
      rangeStart: '10.99.0.2',
      rangeEnd: '10.99.0.2',
    });
    writeFileSync(join(world.makeDir('ipam/testnet'), '10.99.0.2'), '');
    assert.equal(await firstIp(add(subject, config, 'a')), '10.99.0.2/30');
    assert.equal(world.reservation('testnet', '10.99.0.2'), 'a\r\neth0');
  });

  test('a full disk leaves no file (CNI-02)', { skip }, async () => {
    using world = new World();
    const config = ipamConfig(world, { subnet: '10.99.0.0/24' });
    // Room for the content of one file: the address' own, then not for the last-reserved one.
    run('mount', '-t', 'tmpfs', '-o', 'size=4k', 'tmpfs', world.makeDir('ipam'));
    try {
      for (let i = 0; i < (subject.isExecutable ? 2 : 20); i++) {
        const error = await failureOf(add(subject, config, `full${i}`));
        assert.match(error.message, /ENOSPC|no space left/);
        assert.deepEqual(world.reservations('testnet'), []);
      }
    } finally {
      run('umount', world.dataDir);
    }
  });

  test('a late DEL leaves the new owner of the address alone', { skip }, async () => {
    using world = new World();
    const config = ipamConfig(world, {
      subnet: '10.99.0.0/29',
      rangeStart: '10.99.0.2',
      rangeEnd: '10.99.0.2',
    });
    const prevResult = await add(subject, config, 'old');
    await del(subject, config, 'old');
    assert.equal(await firstIp(add(subject, config, 'new')), '10.99.0.2/29');
    await call(subject, 'DEL', config, { containerID: 'old', prevResult });
    assert.equal(world.reservation('testnet', '10.99.0.2'), 'new\r\neth0');
  });

  test('STATUS tells of an empty pool with code 50', { skip }, async () => {
    using world = new World();
    const config = ipamConfig(world, { subnet: '10.99.0.0/30' });
    await call(subject, 'STATUS', config);
    await add(subject, config, 'a');
    const error = await failureOf(call(subject, 'STATUS', config));
    assert.deepEqual(
      [error.number, error.msg],
      [50, 'no IP addresses available in range set: 10.99.0.1-10.99.0.2'],
    );
  });

  test('GC gives back what no valid attachment has', { skip }, async () => {
    using world = new World();
    const config = ipamConfig(world, { subnet: '10.99.0.0/24' });
    await add(subject, config, 'a');
    await add(subject, config, 'b');
    await add(subject, config, 'b', { ifName: 'net1' });
    await call(subject, 'GC', config, { validAttachments: [{ containerID: 'b', ifName: 'net1' }] });
    assert.deepEqual(world.reservations('testnet'), ['10.99.0.4']);
  });

  test('wrong values are named with their key', { skip }, async () => {
    using world = new World();
    const error = await failureOf(add(subject, ipamConfig(world, { subnet: '10.99.0/24' }), 'a'));
    assert.deepEqual(
      [error.number, error.msg],
      [7, 'key "ipam.subnet": got "10.99.0/24", want a network such as "10.1.2.0/24"'],
    );
  });
}
