import type { PluginRequest } from '@amphipod/cni';
import { readConfig as readBandwidth } from './bandwidth/config.ts';
import { readConfig as readBridge } from './bridge/config.ts';
import { readConfig as readCalico } from './calico/config.ts';
import { readConfig as readCalicoIpam } from './calico-ipam/config.ts';
import { readConfig as readDhcp } from './dhcp/config.ts';
import { readConfig as readDummy } from './dummy/config.ts';
import { readConfig as readFirewall } from './firewall/config.ts';
import { readConfig as readFlannel } from './flannel/config.ts';
import { readConfig as readHostDevice } from './host-device/config.ts';
import { readConfig as readHostLocal } from './host-local/config.ts';
import { readConfig as readIpvlan } from './ipvlan/config.ts';
import { readConfig as readMacvlan } from './macvlan/config.ts';
import { readConfig as readPortmap } from './portmap/config.ts';
import { readConfig as readPtp } from './ptp/config.ts';
import { readConfig as readSbr } from './sbr/config.ts';
import { readConfig as readSriov } from './sriov/config.ts';
import { readConfig as readStatic } from './static/config.ts';
import { readConfig as readTap } from './tap/config.ts';
import { readConfig as readTuning } from './tuning/config.ts';
import { readConfig as readVlan } from './vlan/config.ts';
import { readConfig as readVrf } from './vrf/config.ts';

/** Keys that a section of a configuration may have; `true`: any value, else the keys of the object or of the list's objects. */
export interface KnownKeys {
  readonly [key: string]: true | KnownKeys;
}

/** What can be said about a plugin's configuration without running the plugin. */
export interface ConfigCheck {
  /** The plugin's own reader. @throws CniError for the first value that is wrong */
  read?(request: Pick<PluginRequest, 'config' | 'args'>): unknown;
  /** Of an IPAM plugin: in `ipam`. The reference's too, where ours ignores them. */
  keys: KnownKeys;
  /** Keys are those of the section `ipam`. */
  isIpam?: boolean;
  /** Works on the result of a plugin before it. */
  isChained?: boolean;
  /** Without this capability in its configuration it gets nothing to do. */
  needsCapability?: string;
}

const route: KnownKeys = {
  dst: true,
  gw: true,
  mtu: true,
  advmss: true,
  priority: true,
  table: true,
  scope: true,
};
const masquerade: KnownKeys = { ipMasq: true, ipMasqBackend: true };

/** By type: every plugin of this package. */
export const configChecks: Readonly<Record<string, ConfigCheck>> = {
  bandwidth: {
    isChained: true,
    read: readBandwidth,
    keys: keysOf('ingressRate ingressBurst egressRate egressBurst unshapedSubnets shapedSubnets'),
  },
  bridge: {
    read: readBridge,
    keys: {
      ...masquerade,
      ...keysOf('bridge isGateway isDefaultGateway forceAddress mtu hairpinMode promiscMode vlan'),
      ...keysOf('preserveDefaultVlan macspoofchk enabledad disableContainerInterface portIsolation'),
      vlanTrunk: keysOf('id minID maxID'),
    },
  },
  calico: {
    read: readCalico,
    keys: {
      ...keysOf('datastore_type database etcd_endpoints etcd_authority etcd_scheme etcd_ca_cert_file'),
      ...keysOf(
        'etcd_cert_file etcd_key_file etcd_discovery_srv nodename nodename_file nodename_file_optional',
      ),
      ...keysOf('hostname mtu require_mtu_file num_queues include_default_routes device_type'),
      ...keysOf('readiness_gates mode qps burst log_level log_file_path log_file_max_size log_file_max_age'),
      ...keysOf('log_file_max_count ipam_lock_file policy_setup_timeout_seconds endpoint_status_dir'),
      ...keysOf('calico_api_group dataplane_options'),
      policy: keysOf('type k8s_api_root k8s_auth_token'),
      kubernetes: keysOf('k8s_api_root kubeconfig node_name'),
      container_settings: keysOf('allow_ip_forwarding'),
      feature_control: keysOf('ip_addrs_no_ipam floating_ips'),
    },
  },
  'calico-ipam': {
    isIpam: true,
    read: readCalicoIpam,
    keys: keysOf('assign_ipv4 assign_ipv6 ipv4_pools ipv6_pools subnet namespaceLabels'),
  },
  dhcp: {
    isIpam: true,
    read: readDhcp,
    keys: {
      ...keysOf('daemonSocketPath priority'),
      request: keysOf('option skipDefault'),
      provide: keysOf('option value fromArg'),
    },
  },
  dummy: { read: readDummy, keys: {} },
  firewall: {
    isChained: true,
    read: readFirewall,
    keys: keysOf('backend iptablesAdminChainName firewalldZone ingressPolicy'),
  },
  flannel: { read: readFlannel, keys: keysOf('subnetFile dataDir delegate') },
  'host-device': {
    read: (request) => readHostDevice(request),
    keys: keysOf('device hwaddr kernelpath pciBusID'),
  },
  'host-local': {
    isIpam: true,
    read: readHostLocal,
    keys: {
      ...keysOf('subnet rangeStart rangeEnd gateway dataDir resolvConf'),
      ranges: keysOf('subnet rangeStart rangeEnd gateway'),
      routes: route,
    },
  },
  ipvlan: { read: readIpvlan, keys: keysOf('master mode mtu linkInContainer') },
  loopback: { keys: {} },
  macvlan: { read: readMacvlan, keys: keysOf('master mode mtu mac linkInContainer bcqueuelen') },
  portmap: {
    isChained: true,
    needsCapability: 'portMappings',
    read: readPortmap,
    keys: keysOf('backend snat conditionsV4 conditionsV6 masqAll markMasqBit externalSetMarkChain'),
  },
  ptp: { read: readPtp, keys: { ...masquerade, mtu: true } },
  sbr: { isChained: true, read: readSbr, keys: keysOf('table gateways addSourceHints') },
  sriov: {
    read: readSriov,
    keys: {
      ...keysOf('deviceID vlan vlanQoS vlanProto mac spoofchk trust link_state min_tx_rate max_tx_rate'),
      ...keysOf('logLevel logFile'),
    },
  },
  static: {
    isIpam: true,
    read: readStatic,
    keys: {
      addresses: keysOf('address gateway'),
      routes: route,
      dns: keysOf('nameservers domain search options'),
    },
  },
  tap: { read: readTap, keys: keysOf('multiQueue mtu mac owner group selinuxContext bridge') },
  tuning: {
    isChained: true,
    read: readTuning,
    keys: keysOf('sysctl mac mtu promisc allmulti txQLen dataDir'),
  },
  vlan: { read: readVlan, keys: keysOf('master vlanId mtu linkInContainer') },
  vrf: { isChained: true, read: readVrf, keys: keysOf('vrfname table') },
};

/** Keys that every plugin's configuration may have. */
export const commonKeys: KnownKeys = {
  ...keysOf('type name cniVersion capabilities runtimeConfig args prevResult ipam'),
  dns: keysOf('nameservers domain search options'),
};

function keysOf(names: string): KnownKeys {
  return Object.fromEntries(names.split(' ').map((name) => [name, true as const]));
}
