import type { Cni } from '@amphipod/cni';
import type { ImageStore } from '@amphipod/images';
import type { CgroupLayout, NullDevices } from '@amphipod/linux';
import type { DaemonConfig } from './config.ts';
import type { HostPaths } from './containers/host-paths.ts';
import type { Stops } from './containers/stop.ts';
import type { DevicePools } from './devices/device-pools.ts';
import type { Events } from './events.ts';
import type { Failpoint } from './failpoint.ts';
import type { Pulls } from './images/pulls.ts';
import type { Log } from './log.ts';
import type { CgroupDriver } from './oci/cgroup-driver.ts';
import type { ExitDirectory } from './oci/exits.ts';
import type { OciRuntimes } from './oci/runtimes.ts';
import type { Networks } from './pods/networks.ts';
import type { PodPolicy } from './pods/policy.ts';
import type { CpuRates } from './stats/cpu-rates.ts';
import type { MetricSet } from './stats/metrics/pod-metrics.ts';
import type { WritableLayers } from './stats/writable-layers.ts';
import type { KeyedMutex } from './store/keyed-mutex.ts';
import type { NameRegistry } from './store/names.ts';
import type { Store } from './store/store.ts';
import type { StreamingServer } from './streaming/server.ts';
import type { Telemetry } from './telemetry/telemetry.ts';

/** What the daemon consists of; built once in `daemon/up.ts` and handed down. */
export interface RuntimeContext {
  /** Some of it changes when the daemon is told to read its files again (daemon/reload.ts). */
  readonly config: DaemonConfig;
  readonly log: Log;
  readonly store: Store;
  readonly sandboxNames: NameRegistry;
  readonly containerNames: NameRegistry;
  /** Serialises changes of one sandbox or container, by id. */
  readonly locks: KeyedMutex;
  readonly stops: Stops;
  readonly hostPaths: HostPaths;
  readonly images: ImageStore;
  readonly pulls: Pulls;
  readonly cni: Cni;
  readonly networks: Networks;
  /** Devices for networks that need one. */
  readonly devices: DevicePools;
  /** Network policy; absent where none is to be enforced. */
  readonly policy?: PodPolicy;
  readonly runtimes: OciRuntimes;
  /** Programs found at start. */
  readonly programs: { conmon: string; init: string };
  readonly cgroups: CgroupLayout;
  /** Who makes the cgroups: the OCI runtime itself, or systemd for it. */
  readonly cgroupDriver: CgroupDriver;
  readonly exits: ExitDirectory;
  /** What commands in containers get in the place of /dev/null (docs/adr/0034). */
  readonly nullDevices: NullDevices;
  /** Serves the URLs of Exec, Attach and PortForward. */
  readonly streaming: StreamingServer;
  /** What GetContainerEvents streams. */
  readonly events: Events;
  /** For stats: the last readings of CPU time, the sizes of writable layers. */
  readonly cpuRates: CpuRates;
  readonly layers: WritableLayers;
  /** What ListPodSandboxMetrics gives on this machine. */
  readonly metrics: MetricSet;
  /** What calls took, for metrics and traces. */
  readonly telemetry: Telemetry;
  /** Called after each step of a recipe: it is measured, and a test can strike there. */
  readonly failpoint: Failpoint;
  /** What the verbose answer of Status says of the process. */
  readonly self: () => object;
  /** /proc/sys/kernel/random/boot_id */
  readonly bootId: string;
}
