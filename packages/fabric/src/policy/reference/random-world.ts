import { parseIp } from '@amphipod/netlink';
import type { Probe } from './evaluate.ts';
import { Random } from './random.ts';

type Json = Record<string, unknown>;

/** Documents of a small world where much happens: few names, few values, so that selectors often match. */
export interface RandomWorld {
  documents: Json[];
  probes: Probe[];
}

const namespaces = ['x', 'y', 'z'];
const keys = ['app', 'tier', 'env'];
const values = ['a', 'b', 'c'];
const portNames = ['web', 'dns', 'other'];
const protocolNames = ['TCP', 'UDP', 'SCTP'];
const ports = [53, 80, 81, 443, 8080];
const accounts = ['default', 'robot'];
const tierNames = ['default', 'default', 'early', 'late', 'kube-admin', 'kube-baseline', 'unknown'];

/** A world of all kinds of documents, the same for the same seed. */
export function randomWorld(seed: number, probes = 40): RandomWorld {
  const random = new Random(seed);
  const make = new DocumentMaker(random);
  const documents = [
    ...namespaces.filter(() => random.isTrue(0.8)).map((name) => make.namespace(name)),
    ...Array.from({ length: 3 + random.below(6) }, (_, index) => make.pod(index)),
    ...(random.isTrue(0.5) ? [make.serviceAccount()] : []),
    ...random.some(0, 2, () => make.networkSet()),
    ...['early', 'late'].map((name) => make.tier(name)),
    ...random.some(0, 4, () => make.networkPolicy()),
    ...random.some(0, 3, () => make.calicoPolicy()),
    ...random.some(0, 3, () => make.adminPolicy()),
    ...random.some(0, 2, () => make.clusterPolicy()),
    ...(random.isTrue(0.3) ? [make.baseline()] : []),
  ];
  return { documents, probes: Array.from({ length: probes }, () => make.probe()) };
}

class DocumentMaker {
  readonly #random: Random;
  #count = 0;
  readonly #ips: string[] = ['192.0.2.7', '2001:db8:9::7'];

  constructor(random: Random) {
    this.#random = random;
  }

  namespace(name: string): Json {
    return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: this.#labels() } };
  }

  serviceAccount(): Json {
    const metadata = { name: 'robot', namespace: this.#random.pick(namespaces), labels: this.#labels() };
    return { apiVersion: 'v1', kind: 'ServiceAccount', metadata };
  }

  pod(index: number): Json {
    const random = this.#random;
    const [ipv4, ipv6] = [`10.0.${index % 2}.${index + 1}`, `fd00:${index % 2}::${index + 1}`];
    this.#ips.push(ipv4, ipv6);
    const named = random.some(0, 3, () => ({
      name: random.pick(portNames),
      containerPort: random.pick(ports),
      protocol: random.pick(protocolNames),
    }));
    return {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: `pod-${index}`, namespace: random.pick(namespaces), labels: this.#labels() },
      spec: {
        serviceAccountName: random.pick(accounts),
        ...(random.isTrue(0.05) && { hostNetwork: true }),
        containers: [{ name: 'c', ports: named }],
      },
      status: {
        phase: random.isTrue(0.05) ? 'Failed' : 'Running',
        podIPs: random.isTrue(0.8) ? [{ ip: ipv4 }, { ip: ipv6 }] : [{ ip: ipv4 }],
      },
    };
  }

  networkSet(): Json {
    const isGlobal = this.#random.isTrue(0.5);
    return {
      apiVersion: 'projectcalico.org/v3',
      kind: isGlobal ? 'GlobalNetworkSet' : 'NetworkSet',
      metadata: { ...this.#metadata(isGlobal), labels: this.#labels() },
      spec: { nets: this.#random.some(0, 3, () => this.#net()) },
    };
  }

  tier(name: string): Json {
    const random = this.#random;
    const order = name === 'early' ? random.pick([10, 2000]) : random.pick([undefined, 2_000_000]);
    return {
      apiVersion: 'projectcalico.org/v3',
      kind: 'Tier',
      metadata: { name },
      spec: { ...(order !== undefined && { order }), defaultAction: random.pick(['Pass', 'Deny']) },
    };
  }

  networkPolicy(): Json {
    const random = this.#random;
    const types = random.pick([undefined, ['Ingress'], ['Egress'], ['Ingress', 'Egress']]);
    return {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: this.#metadata(false),
      spec: {
        podSelector: this.#labelSelector(),
        ...(types && { policyTypes: types }),
        ...(random.isTrue(0.8) && { ingress: random.some(0, 3, () => this.#networkPolicyRule('from')) }),
        ...(random.isTrue(0.5) && { egress: random.some(0, 3, () => this.#networkPolicyRule('to')) }),
      },
    };
  }

  calicoPolicy(): Json {
    const random = this.#random;
    const isGlobal = random.isTrue(0.5);
    const types = random.pick([undefined, undefined, ['Ingress'], ['Ingress', 'Egress']]);
    return {
      apiVersion: 'projectcalico.org/v3',
      kind: `${random.isTrue(0.1) ? 'Staged' : ''}${isGlobal ? 'Global' : ''}NetworkPolicy`,
      metadata: this.#metadata(isGlobal),
      spec: {
        tier: random.pick(tierNames),
        ...(random.isTrue(0.7) && { order: random.pick([1, 999, 1000, 1001]) }),
        ...(random.isTrue(0.8) && { selector: this.#selector() }),
        ...(isGlobal && random.isTrue(0.2) && { namespaceSelector: this.#namespaceSelector() }),
        ...(random.isTrue(0.15) && { serviceAccountSelector: this.#selector() }),
        ...(types && { types }),
        ingress: random.some(0, 3, () => this.#calicoRule('ingress')),
        egress: random.some(0, 3, () => this.#calicoRule('egress')),
      },
    };
  }

  adminPolicy(): Json {
    const actions = ['Allow', 'Deny', 'Pass'];
    return {
      apiVersion: 'policy.networking.k8s.io/v1alpha1',
      kind: 'AdminNetworkPolicy',
      metadata: this.#metadata(true),
      spec: { priority: this.#random.below(3), ...this.#adminSpec(actions, 'ports') },
    };
  }

  baseline(): Json {
    return {
      apiVersion: 'policy.networking.k8s.io/v1alpha1',
      kind: 'BaselineAdminNetworkPolicy',
      metadata: { name: 'default' },
      spec: this.#adminSpec(['Allow', 'Deny'], 'ports'),
    };
  }

  clusterPolicy(): Json {
    const random = this.#random;
    return {
      apiVersion: 'policy.networking.k8s.io/v1alpha2',
      kind: 'ClusterNetworkPolicy',
      metadata: this.#metadata(true),
      spec: {
        tier: random.pick(['Admin', 'Baseline']),
        priority: random.below(3),
        ...this.#adminSpec(['Accept', 'Deny', 'Pass'], 'protocols'),
      },
    };
  }

  probe(): Probe {
    const random = this.#random;
    const src = random.pick(this.#ips);
    const isIpv6 = src.includes(':');
    const dst = random.pick(this.#ips.filter((ip) => ip.includes(':') === isIpv6));
    const protocol = random.pick([6, 6, 6, 17, 17, 132, isIpv6 ? 58 : 1, 47]);
    const ends = { src: parseIp(src), dst: parseIp(dst), protocol };
    if (protocol === 6 || protocol === 17 || protocol === 132) {
      return { ...ends, srcPort: random.pick([...ports, 40_000]), dstPort: random.pick(ports) };
    }
    return protocol === 47
      ? ends
      : { ...ends, icmp: { type: random.pick([8, 3, 128]), code: random.below(2) } };
  }

  #metadata(isGlobal: boolean): Json {
    const name = `${this.#random.pick(['m', 'n'])}-${this.#count++}`;
    return isGlobal ? { name } : { name, namespace: this.#random.pick(namespaces) };
  }

  #labels(): Record<string, string> {
    const random = this.#random;
    return Object.fromEntries(keys.filter(() => random.isTrue(0.6)).map((key) => [key, random.pick(values)]));
  }

  #labelSelector(): Json {
    const random = this.#random;
    if (random.isTrue(0.25)) return {};
    if (random.isTrue(0.6)) return { matchLabels: { [random.pick(keys)]: random.pick(values) } };
    const operator = random.pick(['In', 'NotIn', 'Exists', 'DoesNotExist']);
    const given = operator.endsWith('In') ? { values: random.some(1, 2, () => random.pick(values)) } : {};
    return { matchExpressions: [{ key: random.pick(keys), operator, ...given }] };
  }

  #namespaceLabelSelector(): Json {
    const random = this.#random;
    if (random.isTrue(0.7)) return this.#labelSelector();
    return { matchLabels: { 'kubernetes.io/metadata.name': random.pick(namespaces) } };
  }

  #net(): string {
    const all = ['10.0.0.0/8', '10.0.0.0/24', '10.0.1.0/24', '10.0.0.2/32', '0.0.0.0/0', '192.0.2.0/24'];
    return this.#random.pick([...all, 'fd00::/16', 'fd00:1::/64', '::/0', 'fd00::1/128', '2001:db8::/32']);
  }

  #networkPolicyRule(peersKey: 'from' | 'to'): Json {
    const random = this.#random;
    const peer = (): Json => {
      if (random.isTrue(0.25)) {
        const cidr = random.pick(['10.0.0.0/8', 'fd00::/16', '0.0.0.0/0']);
        const inner = cidr.includes(':') ? ['fd00::/64', 'fd00:1::/64'] : ['10.0.0.0/24', '10.0.1.2/32'];
        return { ipBlock: { cidr, ...(random.isTrue(0.6) && { except: [random.pick(inner)] }) } };
      }
      const has = random.below(3);
      return {
        ...(has !== 1 && { podSelector: this.#labelSelector() }),
        ...(has !== 0 && { namespaceSelector: this.#namespaceLabelSelector() }),
      };
    };
    const port = (): Json => {
      const protocol = random.isTrue(0.6) ? { protocol: random.pick(protocolNames) } : {};
      if (random.isTrue(0.15)) return protocol;
      if (random.isTrue(0.3)) return { ...protocol, port: random.pick(portNames) };
      const number = random.pick(ports);
      return {
        ...protocol,
        port: number,
        ...(random.isTrue(0.2) && { endPort: number + random.below(100) }),
      };
    };
    return {
      ...(random.isTrue(0.8) && { [peersKey]: random.some(0, 3, peer) }),
      ...(random.isTrue(0.7) && { ports: random.some(0, 3, port) }),
    };
  }

  #adminSpec(actions: readonly string[], portsKey: 'ports' | 'protocols'): Json {
    const random = this.#random;
    const rule = (peersKey: 'from' | 'to') => () => ({
      action: random.pick(actions),
      [peersKey]: random.some(1, 2, () => this.#adminPeer(peersKey)),
      ...(random.isTrue(0.6) && { [portsKey]: random.some(0, 2, () => this.#adminPort(portsKey)) }),
    });
    return {
      subject: this.#pods(),
      ...(random.isTrue(0.7) && { ingress: random.some(0, 3, rule('from')) }),
      ...(random.isTrue(0.7) && { egress: random.some(0, 3, rule('to')) }),
    };
  }

  #pods(): Json {
    const namespaceSelector = this.#namespaceLabelSelector();
    if (this.#random.isTrue(0.5)) return { namespaces: namespaceSelector };
    return { pods: { namespaceSelector, podSelector: this.#labelSelector() } };
  }

  #adminPeer(peersKey: 'from' | 'to'): Json {
    const random = this.#random;
    if (random.isTrue(0.1)) return { somethingNew: {} };
    if (peersKey === 'to' && random.isTrue(0.3)) return { networks: random.some(1, 2, () => this.#net()) };
    return this.#pods();
  }

  #adminPort(portsKey: 'ports' | 'protocols'): Json {
    const random = this.#random;
    const [port, protocol] = [random.pick(ports), random.pick(protocolNames)];
    if (random.isTrue(0.1)) return { somethingNew: {} };
    if (portsKey === 'ports') {
      return random.pick([
        { portNumber: { protocol, port } },
        { portRange: { protocol, start: port, end: port + 40 } },
        { namedPort: random.pick(portNames) },
      ]);
    }
    const destinationPort = random.pick([{ number: port }, { range: { start: port, end: port + 40 } }]);
    return random.pick([
      { [protocol.toLowerCase()]: { destinationPort } },
      { [protocol.toLowerCase()]: {} },
      { destinationNamedPort: random.pick(portNames) },
    ]);
  }

  #selector(): string {
    const random = this.#random;
    const [key, value] = [
      random.pick([...keys, 'projectcalico.org/namespace', 'projectcalico.org/name']),
      random.pick(values),
    ];
    const [left, right] = [random.pick(keys), random.pick(values)];
    return random.pick([
      'all()',
      `has(${key})`,
      `!has(${left})`,
      `${key} == '${value}'`,
      `${left} != '${value}'`,
      `${left} in {'a', 'b'}`,
      `${left} not in {'${right}'}`,
      `projectcalico.org/namespace == '${random.pick(namespaces)}'`,
      `${key} == '${value}' || ${left} == '${right}'`,
      `has(${key}) && ${left} != '${right}'`,
    ]);
  }

  #namespaceSelector(): string {
    const random = this.#random;
    return random.pick([
      'all()',
      'global()',
      `projectcalico.org/name == '${random.pick(namespaces)}'`,
      this.#selector(),
    ]);
  }

  #calicoRule(direction: 'ingress' | 'egress'): Json {
    const random = this.#random;
    const protocol = random.pick([undefined, 'TCP', 'UDP', 'ICMP', 'ICMPv6', 47, 6, 'SCTP']);
    const hasPorts = protocol === 'TCP' || protocol === 'UDP' || protocol === 'SCTP' || protocol === 6;
    const isIcmp = protocol === 'ICMP' || protocol === 'ICMPv6';
    const icmp = () => ({
      type: random.pick([8, 3, 128]),
      ...(random.isTrue(0.5) && { code: random.below(2) }),
    });
    return {
      action: random.pick(['Allow', 'Allow', 'Deny', 'Pass', 'Log']),
      ...(protocol !== undefined && { protocol }),
      ...(random.isTrue(0.1) && { notProtocol: random.pick(['TCP', 17]) }),
      ...(random.isTrue(0.15) && !isIcmp && { ipVersion: random.pick([4, 6]) }),
      ...(isIcmp && random.isTrue(0.5) && { icmp: icmp() }),
      ...(isIcmp && random.isTrue(0.3) && { notICMP: icmp() }),
      ...(protocol === 'TCP' && random.isTrue(0.05) && { http: { methods: ['GET'] } }),
      ...(random.isTrue(0.6) && { source: this.#entity(hasPorts) }),
      ...(random.isTrue(0.6) && { destination: this.#entity(hasPorts) }),
      ...(direction === 'egress' &&
        random.isTrue(0.03) && { destination: { services: { name: 'a', namespace: 'x' } } }),
    };
  }

  #entity(hasPorts: boolean): Json {
    const random = this.#random;
    const port = () => random.pick<string | number>([random.pick(ports), '80:100', random.pick(portNames)]);
    const accountsMatch = random.pick<Json>([
      { names: [random.pick(accounts)] },
      { selector: this.#selector() },
    ]);
    return {
      ...(random.isTrue(0.3) && { nets: random.some(0, 3, () => this.#net()) }),
      ...(random.isTrue(0.15) && { notNets: random.some(0, 2, () => this.#net()) }),
      ...(random.isTrue(0.4) && { selector: this.#selector() }),
      ...(random.isTrue(0.15) && { notSelector: this.#selector() }),
      ...(random.isTrue(0.25) && { namespaceSelector: this.#namespaceSelector() }),
      ...(random.isTrue(0.1) && { serviceAccounts: accountsMatch }),
      ...(hasPorts && random.isTrue(0.5) && { ports: random.some(0, 3, port) }),
      ...(hasPorts && random.isTrue(0.15) && { notPorts: random.some(0, 2, port) }),
    };
  }
}
