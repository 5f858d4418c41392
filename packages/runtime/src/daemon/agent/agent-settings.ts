import type { AgentConfig } from '../../config.ts';
import {
  absolutePath,
  absolutePathOrEmpty,
  addressOrEmpty,
  isInteger,
  type Setting,
} from '../config/setting.ts';

/** Every setting of the network agent: flags of `amphipod agent`, keys of the table `[agent]` of the daemon's file. */
export const agentSettings: { [F in keyof AgentConfig]: Setting<AgentConfig[F]> } = {
  etcdEndpoints: {
    default: [],
    placeholder: 'URL[,URL]',
    help: 'keep leases in this etcd cluster, or where another agent serves its own',
  },
  etcdPrefix: {
    default: '/coreos.com/network',
    placeholder: 'KEY',
    help: 'where in the datastore',
    refuse: (value) => (/^\/+[^/]/.test(value) ? undefined : 'must begin with "/", and have more than that'),
  },
  etcdCafile: {
    default: '',
    placeholder: 'FILE',
    help: 'authorities for https endpoints, PEM',
    refuse: absolutePathOrEmpty,
  },
  etcdCertfile: {
    default: '',
    placeholder: 'FILE',
    help: 'our certificate, PEM',
    refuse: absolutePathOrEmpty,
  },
  etcdKeyfile: { default: '', placeholder: 'FILE', help: 'its key, PEM', refuse: absolutePathOrEmpty },
  kube: { default: false, help: 'keep leases in the nodes of the Kubernetes cluster that we are a pod of' },
  kubeconfig: {
    default: '',
    placeholder: 'FILE',
    help: 'keep leases in the nodes of this Kubernetes cluster',
    refuse: absolutePathOrEmpty,
  },
  kubeAnnotationPrefix: {
    default: 'flannel.alpha.coreos.com',
    placeholder: 'PREFIX',
    help: 'of annotations of nodes',
  },
  nodeName: {
    default: '',
    placeholder: 'NAME',
    help: "Kubernetes' name of this node; empty: $NODE_NAME, that of pod $POD_NAMESPACE/$POD_NAME, or the host's",
  },
  netConfig: {
    default: '',
    placeholder: 'FILE',
    help: 'network configuration, instead of the key "config" in the datastore (Kubernetes: /etc/kube-flannel/net-conf.json)',
    refuse: absolutePathOrEmpty,
  },
  database: {
    default: '/var/lib/amphipod/agent.db',
    placeholder: 'FILE',
    help: 'leases without etcd and Kubernetes',
    refuse: absolutePath,
  },
  iface: { default: '', placeholder: 'NAME', help: "link to the other nodes; empty: the default route's" },
  subnetFile: {
    default: '/run/flannel/subnet.env',
    placeholder: 'FILE',
    help: 'what plugins read',
    refuse: absolutePath,
  },
  ipMasq: { default: false, help: 'masquerade what pods send out of their network' },
  controlSocket: {
    default: '/run/amphipod/agent.sock',
    placeholder: 'PATH',
    help: 'where amphipod net asks, for root only',
    refuse: absolutePath,
  },
  metricsAddress: {
    default: '',
    placeholder: 'ADDRESS:PORT',
    help: 'serve /metrics, /healthz and /readyz there; empty: not at all',
    refuse: addressOrEmpty,
  },
  healthzIp: {
    default: '0.0.0.0',
    placeholder: 'ADDRESS',
    help: 'the same at healthz-port, as flanneld spells it',
    refuse: (value) => (/^[0-9a-fA-F.:]+$/.test(value) ? undefined : 'must be an address'),
  },
  healthzPort: {
    default: 0,
    placeholder: 'PORT',
    help: 'and the port; 0: not at all',
    refuse: (value) => (isInteger(value, 0, 65_535) ? undefined : 'must be a port number, or 0 for none'),
  },
  serve: {
    default: '',
    placeholder: 'ADDRESS:PORT',
    help: 'serve the database there to agents of other nodes, or at unix:/PATH; empty: not at all',
    refuse: (value) => (value.startsWith('unix:/') ? undefined : addressOrEmpty(value)),
  },
  serveCafile: {
    default: '',
    placeholder: 'FILE',
    help: 'authorities of the agents that may use it, PEM; needed where other machines reach the address',
    refuse: absolutePathOrEmpty,
  },
  serveCertfile: {
    default: '',
    placeholder: 'FILE',
    help: 'certificate that it shows them, PEM',
    refuse: absolutePathOrEmpty,
  },
  serveKeyfile: { default: '', placeholder: 'FILE', help: 'its key, PEM', refuse: absolutePathOrEmpty },
  serveOpen: { default: false, help: 'serve without certificates whoever reaches the address' },
};

export const agentFields = Object.keys(agentSettings) as (keyof AgentConfig)[];

/** The settings of an agent that was told nothing. */
export function defaultAgentConfig(): AgentConfig {
  return Object.fromEntries(agentFields.map((field) => [field, agentSettings[field].default])) as never;
}

/** Each says where leases are; the last is what there is when none does. */
const storeFields = ['etcdEndpoints', 'kube', 'kubeconfig', 'database'] as const;

/** Why the settings do not go together: `KEYS: WHY`, the keys named by `nameOf`; undefined when they do. */
export function agentConfigProblem(
  config: AgentConfig,
  nameOf: (field: keyof AgentConfig) => string,
): string | undefined {
  const names = (...fields: (keyof AgentConfig)[]) => fields.map(nameOf).join(', ');
  const isSet = (field: keyof AgentConfig) => String(config[field]) !== String(agentSettings[field].default);
  if (isSet('etcdCertfile') !== isSet('etcdKeyfile'))
    return `${names('etcdCertfile', 'etcdKeyfile')}: give both or neither`;
  const serveFiles = ['serveCafile', 'serveCertfile', 'serveKeyfile'] as const;
  if (new Set(serveFiles.map(isSet)).size > 1) return `${names(...serveFiles)}: give all or none`;
  const [first, second] = storeFields.filter(isSet);
  if (second !== undefined) return `${names(second)}: not with ${names(first!)}`;
  return isSet('serve') && first !== undefined && first !== 'database'
    ? `${names('serve')}: not with ${names(first)}`
    : undefined;
}
