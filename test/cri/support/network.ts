/** Addresses that the private networks of the suites use; nothing routes them. */
export interface TestNetwork {
  /** Also the CNI network's name. */
  bridge: string;
  /** First three bytes of a /24: "10.201.7". */
  prefix: string;
}

/**
 * The configuration every server gets in tests and benchmarks: bridge, host-local and portmap. Both the bridge's own
 * masquerade and host ports are on, as node installers write it.
 * @param dataDir where host-local keeps its reservations
 */
export function bridgeConflist({ bridge, prefix }: TestNetwork, dataDir: string): string {
  const ipam = {
    type: 'host-local',
    dataDir,
    ranges: [[{ subnet: `${prefix}.0/24` }]],
    routes: [{ dst: '0.0.0.0/0' }],
  };
  return JSON.stringify({
    cniVersion: '1.0.0',
    name: bridge,
    plugins: [
      { type: 'bridge', bridge, isGateway: true, ipMasq: true, hairpinMode: true, ipam },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  });
}

/** A network for the nth server of a suite. */
export function testNetwork(n: number): TestNetwork {
  return { bridge: `crit${n}`, prefix: `10.201.${n}` };
}
