// An agent as a process of its own, so that it can be killed: `routed-process.ts JSON`; what happens is printed, a line each.
import { openEtcdDatastore, startBgp } from '@amphipod/fabric';
import { openNftIn, openRtnlIn } from '@amphipod/netlink';

interface Start {
  endpoints: string[];
  nodeName: string;
  stateDir: string;
  netns: string;
}

const { endpoints, nodeName, stateDir, netns } = JSON.parse(process.argv[2]!) as Start;
const bgp = startBgp({
  store: openEtcdDatastore({ endpoints }),
  nodeName,
  stateDir,
  kernel: { rtnl: openRtnlIn(netns), nft: openNftIn(netns) },
  birdCommand: ['nsenter', `--net=${netns}`, 'bird'],
  onEvent: (message) => console.log(message),
  onError: (error) => console.log(error.message),
});
await bgp.ended;
