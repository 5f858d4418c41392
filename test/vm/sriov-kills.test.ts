// vm: -n 2 -i on
// The plugin sriov is killed right after each of its changes of the kernel, on a virtual function of an igb card.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import {
  type Card,
  KillableProcesses,
  list,
  openCni,
  Pod,
  setUpCards,
  stateOf,
  staticIpam,
  vfOf,
} from './support/cards.ts';

let card: Card;
let start: object;
let deviceID: string;
const cni = openCni();

before(async () => {
  [card] = (await setUpCards(2)) as [Card];
  deviceID = card.vfs[0]!;
  start = stateOf(card, 0);
});

test('a plugin that is killed at any step of ADD leaves nothing that DEL, or the next ADD, cannot put right', async () => {
  using processes = new KillableProcesses();
  const net = list('fast', {
    ...{ deviceID, vlan: 100, trust: 'on', mac: '02:00:00:00:0a:09' },
    ...staticIpam('10.9.0.1/24'),
  });
  let steps = 0;
  for (; ; steps++) {
    using pod = new Pod(`killed${steps}`);
    const call = { command: 'ADD', list: net, attachment: pod.attachment(), afterChange: steps } as const;
    const wasKilled = await processes.run(call);
    if (steps % 2 === 0) await cni.delList(net, pod.attachment());
    else {
      pod.remove();
      using next = new Pod(`next${steps}`);
      const plain = list('other', { deviceID });
      await cni.addList(plain, next.attachment());
      assert.equal(vfOf(card, 0).vlan.id, 0);
      await cni.delList(plain, next.attachment());
    }
    assert.deepEqual(stateOf(card, 0), start, `killed after change ${steps} of ADD`);
    if (!wasKilled) break;
  }
  assert.ok(steps >= 8, `${steps} steps`);
});

test('a plugin that is killed at any step of DEL leaves what the next DEL puts right', async () => {
  using processes = new KillableProcesses();
  const net = list('fast', { deviceID, vlan: 100, trust: 'on', mac: '02:00:00:00:0a:0a' });
  let steps = 0;
  for (; ; steps++) {
    using pod = new Pod(`killed${steps}`);
    await cni.addList(net, pod.attachment());
    const call = { command: 'DEL', list: net, attachment: pod.attachment(), afterChange: steps } as const;
    const wasKilled = await processes.run(call);
    await cni.delList(net, pod.attachment());
    assert.deepEqual(stateOf(card, 0), start, `killed after change ${steps} of DEL`);
    if (!wasKilled) break;
  }
  assert.ok(steps >= 6, `${steps} steps`);
});
