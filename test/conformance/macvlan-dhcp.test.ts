/** macvlan with addresses of the network's own DHCP server: several pods on one parent. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { daemons } from './lib/dhcp-daemons.ts';
import { BRIDGE, DhcpServer, SERVER_IP } from './lib/dhcp-server.ts';
import { lacksLinkKind } from './lib/requirements.ts';
import { subjects } from './lib/subjects.ts';
import { addresses, call, inPod, link, World } from './lib/world.ts';

const daemon = daemons.find(({ isOurs }) => isOurs)!;

for (const subject of subjects.filter(({ isOurs }) => isOurs)) {
  describe(`macvlan with dhcp, ${subject.name}`, { skip: lacksLinkKind('macvlan') }, () => {
    test('pods of one parent get addresses of their own, reach the network, and give them back', async () => {
      using world = new World();
      await using server = new DhcpServer(world);
      await server.start();
      const daemonSocketPath = join(world.dir, 'dhcp.sock');
      await using _daemon = await daemon.start(daemonSocketPath);
      const config = { type: 'macvlan', master: BRIDGE, ipam: { type: 'dhcp', daemonSocketPath } };
      const pods = ['a', 'b', 'c'].map((containerID) => ({ containerID, netns: world.netns(containerID) }));
      const results = await Promise.all(
        pods.map(({ containerID, netns }) => call(subject, 'ADD', config, { containerID, netns })),
      );
      const given = results.map(({ ips }) => ips![0]!.address);
      assert.equal(new Set(given).size, 3);
      for (const [i, { netns }] of pods.entries()) {
        assert.deepEqual(
          addresses('eth0', netns).filter((address) => !address.startsWith('fe80')),
          [given[i]],
        );
        inPod(netns, 'busybox', 'ping', '-c', '1', '-w', '3', SERVER_IP);
      }
      await call(subject, 'CHECK', config, { ...pods[0]!, prevResult: results[0]! });
      for (const [i, pod] of pods.entries())
        await call(subject, 'DEL', config, { ...pod, prevResult: results[i]! });
      assert.deepEqual(server.leases(), [], 'the server has them all back');
      assert.equal(link('eth0', pods[0]!.netns), undefined);
    });
  });
}
