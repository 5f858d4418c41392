// A node's allocator in a process of its own, which is killed at any moment. What it is sure of it writes to its journal:
// "+ HANDLE IP" after an address was taken, "- HANDLE" before it is given back. While it uses an address there is a file of that
// name, so that two who use it at once are found at once.
import { appendFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createIpam, openEtcdDatastore } from '@amphipod/fabric';
import { isCode } from '@amphipod/linux';
import { formatIp } from '@amphipod/netlink';
import { readHeld } from './journal.ts';

const [endpoint, node, directory, name, operationsText] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
];
const journal = join(directory, `${name}.journal`);
const MAX_HELD = 24;

await using store = openEtcdDatastore({ endpoints: [endpoint] });
const ipam = createIpam({ store, node });
// What an earlier life has taken is in use still.
const held = [...readHeld([journal])];
for (let done = 0; done < Number(operationsText); done++) {
  // More is taken than given back, until there is enough of both.
  const isTake = held.length === 0 || (held.length < MAX_HELD && Math.random() < 0.55);
  if (isTake) await take(`${name}.${process.pid}.${done}`);
  else await giveBack(...held.splice(Math.floor(Math.random() * held.length), 1)[0]!);
  appendFileSync(journal, '. \n');
}

async function take(handleId: string): Promise<void> {
  try {
    const attributes = { node, timestamp: new Date().toISOString() };
    const [ip] = await ipam.allocate({ owner: { handleId, attributes }, ipv4: { count: 1 } });
    const text = formatIp(ip!);
    writeFileSync(join(directory, text), handleId, { flag: 'wx' });
    appendFileSync(journal, `+ ${handleId} ${text}\n`);
    held.push([handleId, text]);
  } catch (error) {
    // Without an answer nobody knows whether an address was taken: it is not used, and found afterwards.
    if (!isCode(error, 'no-free-address', 'unavailable')) throw error;
  }
}

async function giveBack(handleId: string, ip: string): Promise<void> {
  // A killed process may have come as far as this.
  rmSync(join(directory, ip), { force: true });
  appendFileSync(journal, `- ${handleId}\n`);
  try {
    await ipam.releaseHandle(handleId);
  } catch (error) {
    if (!isCode(error, 'unavailable')) throw error;
  }
}
