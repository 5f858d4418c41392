// Answers of BIRD 2.0.12, as it gave them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BirdLine } from './bird-control.ts';
import { parseRoutes, parseSessions } from './bird-state.ts';

/** `CODE text`, a line each; one that begins with a blank has the code before. */
function lines(text: string): BirdLine[] {
  const read: BirdLine[] = [];
  for (const line of text.split('\n').slice(1, -1)) {
    const [, code, rest] = /^(\d{4})[ -](.*)$/.exec(line) ?? [];
    read.push(
      code === undefined
        ? { code: read.at(-1)!.code, text: line.slice(1) }
        : { code: Number(code), text: rest! },
    );
  }
  return read;
}

test('sessions: state, counts, last error, a peer that restarts; other protocols are passed over', () => {
  const answer = lines(`
2002-Name       Proto      Table      State  Since         Info
1002-devices    Device     ---        up     18:21:02.303  
1006-
1002-Mesh_192_0_2_2 BGP        ---        up     18:21:03.100  Established   
1006-  BGP state:          Established
     Neighbor address: 192.0.2.2
     Neighbor AS:      64512
   Channel ipv4
     State:          UP
     Routes:         3 imported, 1 filtered, 2 exported, 3 preferred
1006-
1002-Mesh_192_0_2_3 BGP        ---        start  2026-11-30 18:21:03  Active        Socket: Connection refused
1006-  BGP state:          Active
     Neighbor address: 192.0.2.3
     Neighbor graceful restart active
     Last error:       Socket: Connection refused
   Channel ipv4
     State:          UP
     Routes:         4 imported, 0 exported, 4 preferred
1006-
1002-off BGP        ---        down   18:21:03.100  
1006-
0000 
`);
  assert.deepEqual(parseSessions(answer), [
    {
      name: 'Mesh_192_0_2_2',
      state: 'Established',
      since: '18:21:03.100',
      routesIn: 3,
      routesFiltered: 1,
      routesOut: 2,
      isRestarting: false,
    },
    {
      name: 'Mesh_192_0_2_3',
      state: 'Active',
      since: '2026-11-30 18:21:03',
      routesIn: 4,
      routesFiltered: 0,
      routesOut: 0,
      lastError: 'Socket: Connection refused',
      isRestarting: true,
    },
    {
      name: 'off',
      state: 'Down',
      since: '18:21:03.100',
      routesIn: 0,
      routesFiltered: 0,
      routesOut: 0,
      isRestarting: false,
    },
  ]);
});

test('routes: several to a network, several ways, attributes', () => {
  const answer = lines(`
1007-Table master4:
 203.0.113.0/24       unicast [Global_192_0_2_201 18:45:01.000] * (100) [AS65001i]
 	via 192.0.2.201 on eth0
 	via 192.0.2.202 on eth0 weight 2
1008-	Type: BGP univ
1012-	BGP.origin: IGP
 	BGP.as_path: 65001 64512
 	BGP.local_pref: 100
 	BGP.community: (65000,100) (65000,200)
1007-                     unicast [Global_192_0_2_202 18:45:01.000 from 192.0.2.202] (100) [AS65001i]
 	via 192.0.2.202 on eth0
1008-	Type: BGP univ
1007-10.0.1.0/26          blackhole [static4 18:45:00.000] * (200)
1008-	Type: static univ
0000 
`);
  const [first, second, third] = parseRoutes(answer);
  assert.deepEqual(first, {
    network: '203.0.113.0/24',
    type: 'unicast',
    protocol: 'Global_192_0_2_201',
    isBest: true,
    hops: [
      { gateway: '192.0.2.201', interfaceName: 'eth0' },
      { gateway: '192.0.2.202', interfaceName: 'eth0' },
    ],
    source: 'BGP',
    attributes: {
      'BGP.origin': 'IGP',
      'BGP.as_path': '65001 64512',
      'BGP.local_pref': '100',
      'BGP.community': '(65000,100) (65000,200)',
    },
  });
  assert.deepEqual(
    [second!.network, second!.isBest, second!.protocol],
    ['203.0.113.0/24', false, 'Global_192_0_2_202'],
  );
  assert.deepEqual([third!.type, third!.source, third!.hops], ['blackhole', 'static', []]);
});
