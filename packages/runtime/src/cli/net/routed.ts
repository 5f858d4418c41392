import { mkdirSync } from 'node:fs';
import { runRouted } from '@amphipod/fabric';
import { untilSignal, warmThreadPool } from '../../daemon/process.ts';
import { createLog } from '../../log.ts';
import { defineCommand } from '../command.ts';
import { datastoreOptions, withDatastore } from './datastore-options.ts';
import { nodeOptions, nodePlaces } from './node-options.ts';

export const command = defineCommand({
  name: 'net routed',
  summary: "Run this node's part of the routed network in the foreground",
  operands: '',
  arity: [0, 0],
  isLocal: true,
  options: {
    iface: { type: 'string', value: 'NAME', help: "link to the other nodes (the default route's)" },
    ...nodeOptions,
    ...datastoreOptions,
  },
  details: `Needs root, and BIRD 2 (Debian's bird2). Writes the node's addresses into its Node, has BIRD exchange routes as Calico's resources say, and keeps
blackholes, tunnels and masquerading in the kernel. SIGTERM and Ctrl-C end it; BIRD and what is in the kernel stay, and the next one takes them over.

Example:
  amphipod net routed --etcd-endpoints http://192.0.2.10:2379`,
  async run(_operands, { iface, ...values }, { env, stderr }) {
    await warmThreadPool();
    const stop = new AbortController();
    void untilSignal().then(() => stop.abort());
    const log = createLog({ level: 'info', format: 'text', write: (line) => stderr.write(line) });
    const { nodeName, stateDir, secretsDir } = nodePlaces(values);
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
    return await withDatastore(values, env, async (store) => {
      await runRouted({
        store,
        nodeName,
        stateDir,
        secretsDir,
        ...(iface !== undefined && { interfaceName: iface }),
        log,
        signal: stop.signal,
      });
      return 0;
    });
  },
});
