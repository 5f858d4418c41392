import type { Cni } from '@amphipod/cni';
import type { ImageStore } from '@amphipod/images';
import type { CgroupLayout } from '@amphipod/linux';
import type { DaemonConfig } from './config.ts';
import type { Stops } from './containers/stop.ts';
import type { Failpoint } from './failpoint.ts';
import type { Pulls } from './images/pulls.ts';
import type { Log } from './log.ts';
import type { ExitDirectory } from './oci/exits.ts';
import type { OciRuntimes } from './oci/runtimes.ts';
import type { Networks } from './pods/networks.ts';
import type { KeyedMutex } from './store/keyed-mutex.ts';
import type { NameRegistry } from './store/names.ts';
import type { Store } from './store/store.ts';
import type { StreamingServer } from './streaming/server.ts';

/** What the daemon consists of; built once in `daemon/up.ts` and handed down. */
export interface RuntimeContext {
  readonly config: DaemonConfig;
  readonly log: Log;
  readonly store: Store;
  readonly sandboxNames: NameRegistry;
  readonly containerNames: NameRegistry;
  /** Serialises changes of one sandbox or container, by id. */
  readonly locks: KeyedMutex;
  readonly stops: Stops;
  readonly images: ImageStore;
  readonly pulls: Pulls;
  readonly cni: Cni;
  readonly networks: Networks;
  readonly runtimes: OciRuntimes;
  /** Programs found at start. */
  readonly programs: { conmon: string; init: string };
  readonly cgroups: CgroupLayout;
  readonly exits: ExitDirectory;
  /** Serves the URLs of Exec, Attach and PortForward. */
  readonly streaming: StreamingServer;
  readonly failpoint: Failpoint;
  /** /proc/sys/kernel/random/boot_id */
  readonly bootId: string;
}
