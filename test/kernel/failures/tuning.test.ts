import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { World } from '../../conformance/lib/world.ts';
import { failEveryStep } from './fail-every-step.ts';

test('tuning: each step fails, and sysctls, interface and files are as before', async () => {
  using world = new World();
  const netns = world.netns('pod');
  const bridge = {
    type: 'bridge',
    bridge: 'tb0',
    ipam: { type: 'host-local', subnet: '10.99.0.0/24', dataDir: world.dataDir },
  };
  const tuning = {
    type: 'tuning',
    dataDir: join(world.dir, 'state'),
    sysctl: {
      'net.ipv4.conf.IFNAME.rp_filter': '2',
      'net.core.somaxconn': '511',
      'net.ipv4.conf.all.log_martians': '1',
    },
    mac: 'c2:11:22:33:44:55',
    mtu: 1400,
    promisc: true,
    allmulti: true,
    txQLen: 77,
  };
  // The reference's DEL leaves sysctls, which are the pod's and go with it.
  const staysAfterDel = { '^sysctls\\.pod\\..*(rp_filter|somaxconn|log_martians)$': 'sysctls of the pod' };
  const plugins = [bridge, tuning];
  const steps = await failEveryStep({ world, netns, plugins, staysAfterDel, isFirst: true });
  assert.ok(steps.length >= 7, steps.join('\n'));
});
