// One call of the plugin sriov in a process of its own, which is killed right after a change of the kernel: see KillableProcesses.
import { readFileSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { bindPlugin, createCni } from '@amphipod/cni';
import { NETLINK, NetlinkSocket } from '@amphipod/linux';
import { openNft, Rtnl } from '@amphipod/netlink';
import { builtinPlugins, openPluginHost, pluginBinDir, sriov } from '@amphipod/plugins';
import type { KillableCall } from './cards.ts';

// Who is killed writes none at its end, and the next one would have to compile everything again.
flushCompileCache();

/** RTM_GETLINK and the other questions: every fourth number. */
const isQuestion = (type: number) => type % 4 === 2;
const killNow = () => process.kill(process.pid, 'SIGKILL');

const others = builtinPlugins();
const { command, list, attachment, afterChange } = JSON.parse(readFileSync(0, 'utf8')) as KillableCall;
let changes = 0;
const openRtnl = () => {
  const socket = new NetlinkSocket(NETLINK.ROUTE);
  const transport = {
    send(datagram: Buffer) {
      if (isQuestion(datagram.readUInt16LE(4))) return socket.send(datagram);
      if (afterChange === 0) killNow();
      socket.send(datagram);
      if (++changes === afterChange) killNow();
    },
    receiveNow: () => socket.receiveNow(),
    close: () => socket.close(),
  };
  return new Rtnl(transport, () => {
    throw new Error('no second socket wanted');
  });
};
const host = openPluginHost({ openRtnl, openNft });
const bound = bindPlugin(sriov, () => host);
const cni = createCni({
  pluginDirs: [pluginBinDir],
  cacheDir: '/var/lib/cni',
  inProcess: { resolve: (type, file) => (type === 'sriov' ? bound : others.resolve(type, file)) },
});
if (command === 'ADD') await cni.addList(list, attachment);
else await cni.delList(list, attachment);
