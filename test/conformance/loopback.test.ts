import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { allSubjects } from './lib/subjects.ts';
import { call, failureOf, inPod, link, World } from './lib/world.ts';

for (const subject of allSubjects) {
  describe(`loopback, ${subject.name}`, () => {
    test('ADD, CHECK, DEL', async () => {
      using world = new World();
      const netns = world.netns('a');
      const config = { type: 'loopback' };
      const result = await call(subject, 'ADD', config, { netns, ifName: 'lo' });
      assert.deepEqual(result, {
        interfaces: [{ name: 'lo', mac: '00:00:00:00:00:00', sandbox: netns }],
        ips: [
          { address: '127.0.0.1/8', interface: 0 },
          { address: '::1/128', interface: 0 },
        ],
      });
      assert.ok(link('lo', netns)!.flags.includes('UP'));
      await call(subject, 'CHECK', config, { netns, ifName: 'lo', prevResult: result });
      await call(subject, 'DEL', config, { netns, ifName: 'lo' });
      assert.ok(!link('lo', netns)!.flags.includes('UP'));
      const error = await failureOf(
        call(subject, 'CHECK', config, { netns, ifName: 'lo', prevResult: result }),
      );
      assert.match(error.message, /loopback interface is down/);
      if (subject.isOurs) assert.equal(error.number, 100);
      await call(subject, 'DEL', config, { netns: '/no/such/netns', ifName: 'lo' });
    });

    test('hands a previous result on', async () => {
      using world = new World();
      const prevResult = { ips: [{ address: '10.1.2.3/24' }] };
      assert.deepEqual(
        await call(subject, 'ADD', { type: 'loopback' }, { netns: world.netns('a'), prevResult }),
        prevResult,
      );
    });

    const skip = subject.isOurs ? false : 'the reference leaves lo up';
    test('refuses another address on lo and leaves it as it was', { skip }, async () => {
      using world = new World();
      const netns = world.netns('a');
      inPod(netns, 'ip', 'address', 'add', '10.1.2.3/32', 'dev', 'lo');
      const error = await failureOf(call(subject, 'ADD', { type: 'loopback' }, { netns }));
      assert.match(error.message, /loopback interface found with non-loopback address "10\.1\.2\.3\/32"/);
      assert.ok(!link('lo', netns)!.flags.includes('UP'));
    });
  });
}
