import type { LogFormat, LogLevel } from './log.ts';

/** One `[runtimes.NAME]`: a program with the command line of runc. */
export interface RuntimeConfig {
  /** Absolute path of the program. */
  path: string;
  /** Options before the command. */
  options?: string[];
  /** There is one so far. */
  type?: 'oci';
}

/** Settings of the network agent; empty texts and lists stand for what is not set. Files are absolute paths. */
export interface AgentConfig {
  /** URLs; empty: the database. */
  etcdEndpoints: string[];
  etcdPrefix: string;
  etcdCafile: string;
  etcdCertfile: string;
  etcdKeyfile: string;
  /** In the nodes of the cluster that we are a pod of. */
  kube: boolean;
  kubeconfig: string;
  kubeAnnotationPrefix: string;
  nodeName: string;
  /** A file with flannel's net-conf.json. */
  netConfig: string;
  database: string;
  /** Name of the link to the other nodes. */
  iface: string;
  subnetFile: string;
  ipMasq: boolean;
  controlSocket: string;
  /** `ADDRESS:PORT` */
  metricsAddress: string;
  healthzIp: string;
  /** 0: none. */
  healthzPort: number;
  /** `ADDRESS:PORT` or `unix:/PATH` */
  serve: string;
  serveCafile: string;
  serveCertfile: string;
  serveKeyfile: string;
  serveOpen: boolean;
}

/** The table `[agent]`. */
export interface AgentTable extends AgentConfig {
  /** Runs the agent inside the daemon. */
  enabled: boolean;
}

/** Settings of the daemon; `daemon/config/` reads them from files and the command line. */
export interface DaemonConfig {
  /** Persistent data: the database, images, writable layers. */
  root: string;
  /** Data that ends with the boot: namespaces, mounts, bundles. On a tmpfs as a rule. */
  state: string;
  socket: string;
  /** Octal. */
  socketMode: string;
  /** Name or number; empty: root. */
  socketGroup: string;
  cniConfDir: string;
  /** Networks that pods name beside that of cniConfDir. */
  networkDir: string;
  /** Which devices are in which pool; the file of the device plugin. */
  devicePools: string;
  /** Where the kubelet says which devices its pods have; without that socket the runtime chooses them itself. */
  podResourcesSocket: string;
  /** Where plugins are looked for, in this order. */
  cniBinDir: string[];
  cniCacheDir: string;
  /** How long one call of a plugin may take; then it is killed. */
  cniTimeoutMs: number;
  /** Directory with network policies; empty: none are enforced. */
  policyDir: string;
  /** Cut flows that policies do not allow any more. */
  policyStrict: boolean;
  /** Name of the default OCI runtime. */
  runtime: string;
  /** Runtime handlers besides runc and crun, or instead of them: the tables `[runtimes.NAME]`. */
  runtimes: Record<string, RuntimeConfig>;
  /** Where CDI specs are; later directories win. */
  cdiSpecDirs: string[];
  /** Resource limits of all containers: `NAME=SOFT[:HARD]`. */
  defaultUlimits: string[];
  /** `cgroupfs` or `systemd`; empty: systemd where it runs. */
  cgroupDriver: string;
  /** `ADDRESS:PORT` of the Prometheus metrics; empty: none. */
  metricsAddress: string;
  /** Base URL of an OTLP receiver; empty: none. */
  otlpEndpoint: string;
  logLevel: LogLevel;
  logFormat: LogFormat;
  /** Docker-format seccomp profile behind RuntimeDefault. */
  seccompProfile: string;
  /** Where Exec, Attach and PortForward are served. */
  streamAddress: string;
  /** 0: any free one. */
  streamPort: number;
  /** PEM files for TLS; both or none. */
  streamTlsCert: string;
  streamTlsKey: string;
  /** Registries reached over plain HTTP, `HOST[:PORT]`; loopback ones are anyway. */
  insecureRegistries: string[];
  /** Directory with `REGISTRY/hosts.toml` files; empty for none. */
  registryConfigDir: string;
  /** Docker's config.json or containers' auth.json; empty for none. */
  registryAuthFile: string;
  /** policy.json that says which images need a signature; empty to accept all. */
  signaturePolicy: string;
  /** Images that the kubelet's garbage collection leaves alone: names, `PREFIX*` or `*WORD*`. */
  pinnedImages: string[];
  agent: AgentTable;
  /** Let a file in the state directory make a named step fail or kill the daemon; for tests. */
  failpoints: boolean;
}
