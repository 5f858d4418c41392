import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { subjects } from './lib/subjects.ts';
import { call, failureOf, inPod, run, World } from './lib/world.ts';

/** Lines that tell of pods, whatever the backend. */
function rulesOf(isOurs: boolean, containerID: string): string[] {
  const text = isOurs ? run('nft', 'list', 'ruleset') : run('iptables-save', '-t', 'nat');
  return text.split('\n').filter((line) => line.includes(containerID));
}

for (const subject of subjects) {
  describe(`ipMasq, ${subject.name}`, () => {
    test('what leaves the network has the address of the machine, what stays in it has not', async () => {
      using world = new World();
      const ipam = {
        type: 'host-local',
        subnet: '10.99.0.0/24',
        routes: [{ dst: '0.0.0.0/0' }],
        dataDir: world.dataDir,
      };
      const config = { type: 'bridge', bridge: 'tb0', isGateway: true, ipMasq: true, ipam };
      const pods = [
        { containerID: 'poda', netns: world.netns('a') },
        { containerID: 'podb', netns: world.netns('b') },
      ];
      const [first, second] = [
        await call(subject, 'ADD', config, pods[0]),
        await call(subject, 'ADD', config, pods[1]),
      ];
      // A machine outside that knows no way back to the pods.
      const outside = world.netns('outside');
      run('ip', 'link', 'add', 'uplink', 'type', 'veth', 'peer', 'name', 'far');
      run('ip', 'link', 'set', 'far', 'netns', outside);
      run('ip', 'address', 'add', '192.0.2.1/24', 'dev', 'uplink');
      run('ip', 'link', 'set', 'uplink', 'up');
      inPod(outside, 'ip', 'address', 'add', '192.0.2.2/24', 'dev', 'far');
      inPod(outside, 'ip', 'link', 'set', 'far', 'up');
      const ping = (netns: string, to: string) => inPod(netns, 'busybox', 'ping', '-c', '1', '-w', '2', to);
      ping(pods[0]!.netns, '192.0.2.2');
      ping(pods[0]!.netns, second.ips![0]!.address.split('/')[0]!);
      assert.notDeepEqual(rulesOf(subject.isOurs, 'poda'), []);

      await call(subject, 'DEL', config, { ...pods[0]!, prevResult: first });
      assert.deepEqual(rulesOf(subject.isOurs, 'poda'), []);
      ping(pods[1]!.netns, '192.0.2.2');
      await call(subject, 'CHECK', config, { ...pods[1]!, prevResult: second });
      await call(subject, 'DEL', config, { ...pods[1]!, prevResult: second });
      assert.deepEqual(rulesOf(subject.isOurs, 'podb'), []);
    });

    const skip = subject.isOurs ? false : 'the reference leaves its rules behind';
    test('DEL without namespace and without result takes the rule away (CNI-08)', { skip }, async () => {
      using world = new World();
      const ipam = {
        type: 'host-local',
        ranges: [[{ subnet: '10.99.0.0/24' }], [{ subnet: 'fd00:99::/64' }]],
        dataDir: world.dataDir,
      };
      const config = { type: 'bridge', bridge: 'tb0', ipMasq: true, ipam };
      await call(subject, 'ADD', config, { containerID: 'poda', netns: world.netns('a') });
      assert.equal(rulesOf(true, 'poda').length, 2);
      await call(subject, 'DEL', config, { containerID: 'poda' });
      assert.deepEqual(rulesOf(true, 'poda'), []);
    });

    test('rules that a flush took: DEL is content, the next ADD makes them anew (NET-10)', {
      skip,
    }, async () => {
      using world = new World();
      const ipam = { type: 'host-local', subnet: '10.99.0.0/24', dataDir: world.dataDir };
      const config = { type: 'bridge', bridge: 'tb0', ipMasq: true, ipam };
      const a = { containerID: 'poda', netns: world.netns('a') };
      const prevResult = await call(subject, 'ADD', config, a);
      run('nft', 'flush', 'ruleset');
      assert.match(
        (await failureOf(call(subject, 'CHECK', config, { ...a, prevResult }))).message,
        /masquerade rule for 10\.99\.0\.2\/24 not found/,
      );
      await call(subject, 'DEL', config, { ...a, prevResult });
      await call(subject, 'ADD', config, { containerID: 'podb', netns: world.netns('b') });
      assert.equal(rulesOf(true, 'podb').length, 1);
    });
  });
}
