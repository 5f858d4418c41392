import type { DaemonConfig } from '../../config.ts';
import { parseUlimit } from '../../containers/rlimits.ts';
import { distributionProfile } from '../../containers/runtime-default.ts';
import { logFormats, logLevels } from '../../log.ts';
import { cgroupDrivers } from '../../oci/cgroup-driver.ts';
import { defaultAgentConfig } from '../agent/agent-settings.ts';
import {
  absolutePath,
  absolutePathOrEmpty,
  addressOrEmpty,
  isInteger,
  keyOf,
  type Setting,
} from './setting.ts';

type Field = keyof DaemonConfig;

const oneOf = (names: readonly string[]) => (value: string) =>
  names.includes(value) ? undefined : `must be one of ${names.join(', ')}`;

function refuseUlimits(ulimits: string[]): string | undefined {
  try {
    ulimits.forEach(parseUlimit);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Why the tables `[runtimes.NAME]` are none. */
function refuseRuntimes(runtimes: DaemonConfig['runtimes']): string | undefined {
  for (const [name, table] of Object.entries(runtimes)) {
    if (!/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(name))
      return `${JSON.stringify(name)}: must be a name like the handler of a RuntimeClass`;
    if (typeof table !== 'object') return `${name}: must be a table [runtimes.${name}]`;
    const { path, options = [], type = 'oci', ...rest } = table;
    const [unknown] = Object.keys(rest);
    if (unknown !== undefined) return `${name}.${unknown}: unknown key; known are path, options, type`;
    if (type !== 'oci') return `${name}.type: must be "oci": a program with the command line of runc`;
    if (typeof path !== 'string' || !path.startsWith('/')) return `${name}.path: must be an absolute path`;
    if (!Array.isArray(options) || !options.every((option) => typeof option === 'string'))
      return `${name}.options: must be a list of strings`;
  }
  return undefined;
}

/** Every setting of the daemon, in the order of the documentation. The key in the file is the name with underscores. */
export const settings: { [F in Field]: Setting<DaemonConfig[F]> } = {
  root: {
    default: '/var/lib/amphipod',
    placeholder: 'DIR',
    help: 'database, images, writable layers',
    refuse: absolutePath,
  },
  state: {
    default: '/run/amphipod',
    placeholder: 'DIR',
    help: 'what ends with the boot: namespaces, mounts, bundles; best on a tmpfs',
    refuse: absolutePath,
  },
  socket: {
    default: '/run/amphipod/amphipod.sock',
    placeholder: 'PATH',
    help: 'where CRI is served',
    refuse: absolutePath,
  },
  socketMode: {
    default: '0660',
    placeholder: 'MODE',
    help: 'permissions of the socket, octal; who may open it is root on this machine',
    refuse: (value) =>
      /^0?[0-7]{3}$/.test(value) ? undefined : 'must be three octal digits, such as "0660"',
  },
  socketGroup: {
    default: '',
    placeholder: 'GROUP',
    help: 'group of the socket, by name or number; empty: root',
  },
  cniConfDir: {
    default: '/etc/cni/net.d',
    placeholder: 'DIR',
    help: 'network configuration: the first valid .conflist, .conf or .json by name is the network of new pods',
    refuse: absolutePath,
  },
  networkDir: {
    default: '/etc/cni/networks.d',
    placeholder: 'DIR',
    help: 'networks that pods can have beside that: CNI configurations, NetworkAttachmentDefinitions as YAML or JSON',
    refuse: absolutePath,
  },
  devicePools: {
    default: '/etc/pcidp/config.json',
    placeholder: 'FILE',
    help: 'pools of devices for such networks, by resource name, in the format of sriov-network-device-plugin',
    refuse: absolutePath,
  },
  podResourcesSocket: {
    default: '/var/lib/kubelet/pod-resources/kubelet.sock',
    placeholder: 'PATH',
    help: 'where the kubelet tells which devices its pods have; where there is none the runtime chooses',
    refuse: absolutePath,
  },
  cniBinDir: {
    // The reader puts the directory of this installation behind it.
    default: ['/opt/cni/bin'],
    placeholder: 'DIR[,DIR]',
    help: 'where plugins are looked for, in this order; then our own where the setting is left alone',
  },
  cniCacheDir: {
    default: '/var/lib/cni',
    placeholder: 'DIR',
    help: "results of plugins, in libcni's format",
    refuse: absolutePath,
  },
  cniTimeoutMs: {
    default: 60_000,
    placeholder: 'MS',
    help: 'how long one call of a plugin may take, milliseconds; then it and its children are killed',
    refuse: (value) =>
      isInteger(value, 1, Number.MAX_SAFE_INTEGER) ? undefined : 'must be a number of milliseconds above 0',
  },
  policyDir: {
    default: '',
    placeholder: 'DIR',
    help: 'network policies for the pods of this node, as YAML and JSON files that are followed; empty: none',
    refuse: absolutePathOrEmpty,
  },
  policyStrict: {
    default: false,
    help: 'cut open flows too that policies do not allow any more',
  },
  runtime: {
    default: '',
    placeholder: 'NAME',
    help: 'OCI runtime behind the empty runtime handler; empty: crun or runc, whichever works',
  },
  runtimes: {
    default: {},
    help: 'more runtime handlers: a table [runtimes.NAME] for each, with path = "/usr/bin/…" and options = ["--…"]; at the end of the file',
    refuse: refuseRuntimes,
    isFileOnly: true,
  },
  cdiSpecDirs: {
    default: ['/etc/cdi', '/var/run/cdi'],
    placeholder: 'DIR[,DIR]',
    help: 'where CDI specs of devices are; later directories win',
  },
  defaultUlimits: {
    default: ['nofile=65536:1048576'],
    placeholder: 'LIMIT[,LIMIT]',
    help: 'resource limits of all containers, NAME=SOFT[:HARD]',
    refuse: refuseUlimits,
  },
  cgroupDriver: {
    default: '',
    placeholder: 'NAME',
    help: 'cgroupfs or systemd; empty: systemd where it runs',
    refuse: (value) =>
      value === '' || (cgroupDrivers as readonly string[]).includes(value)
        ? undefined
        : `must be one of ${cgroupDrivers.join(', ')}, or empty for what this machine uses`,
  },
  seccompProfile: {
    default: distributionProfile,
    placeholder: 'FILE',
    help: 'what RuntimeDefault means',
    isReloadable: true,
  },
  streamAddress: {
    default: '127.0.0.1',
    placeholder: 'ADDRESS',
    help: 'where exec, attach and port-forward are served',
  },
  streamPort: {
    default: 0,
    placeholder: 'PORT',
    help: 'and on which port; 0: any free one',
    refuse: (value) =>
      isInteger(value, 0, 65_535) ? undefined : 'must be a port number, or 0 for any free one',
  },
  streamTlsCert: {
    default: '',
    placeholder: 'FILE',
    help: 'serve them over TLS: certificate, PEM; needs stream_tls_key',
  },
  streamTlsKey: { default: '', placeholder: 'FILE', help: 'and its key' },
  insecureRegistries: {
    default: [],
    placeholder: 'HOST[,HOST]',
    help: 'registries reached over plain HTTP, HOST[:PORT]; loopback ones are anyway',
    isReloadable: true,
  },
  registryConfigDir: {
    default: '/etc/containerd/certs.d',
    placeholder: 'DIR',
    help: "mirrors, certificates and credentials: a hosts.toml for each registry, in containerd's form; empty: none",
    refuse: absolutePathOrEmpty,
    isReloadable: true,
  },
  registryAuthFile: {
    default: '',
    placeholder: 'FILE',
    help: "credentials: docker's config.json or containers' auth.json; empty: none",
    refuse: absolutePathOrEmpty,
    isReloadable: true,
  },
  signaturePolicy: {
    default: '',
    placeholder: 'FILE',
    help: 'policy.json that says which images need a signature; empty: none do',
    refuse: absolutePathOrEmpty,
    isReloadable: true,
  },
  pinnedImages: {
    default: [],
    placeholder: 'NAME[,NAME]',
    help: 'images that the kubelet never collects: names, PREFIX* or *WORD*',
    isReloadable: true,
  },
  metricsAddress: {
    default: '',
    placeholder: 'ADDRESS:PORT',
    help: 'serve Prometheus metrics there, at /metrics; empty: not at all',
    refuse: addressOrEmpty,
  },
  otlpEndpoint: {
    default: '',
    placeholder: 'URL',
    help: 'send OpenTelemetry traces there by OTLP over HTTP, such as "http://127.0.0.1:4318"; empty: nowhere',
    refuse: (value) =>
      value === '' || /^https?:$/.test(URL.parse(value)?.protocol ?? '')
        ? undefined
        : 'must be a URL of http or https',
  },
  logLevel: {
    default: 'info',
    placeholder: 'LEVEL',
    help: `how much is logged, on standard error: ${logLevels.join(', ')}`,
    refuse: oneOf(logLevels),
    isReloadable: true,
  },
  logFormat: {
    default: 'json',
    placeholder: 'FORMAT',
    help: 'json: an object for each line; text: for people',
    refuse: oneOf(logFormats),
  },
  agent: {
    default: { enabled: false, ...defaultAgentConfig() },
    help: 'the network agent: a table [agent], at the end of the file',
    isFileOnly: true,
  },
  failpoints: {
    default: false,
    help: 'let a file in the state directory make a named step fail; for tests',
    isInternal: true,
  },
};

export const fields = Object.keys(settings) as Field[];

const byKey = new Map(fields.map((field) => [keyOf(field), field]));

export function fieldOf(key: string): Field | undefined {
  return byKey.get(key);
}
