/** The plugins calico and calico-ipam: pods that are routed one by one, their records, and what becomes of late and repeated calls. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  createResource,
  findMistakes,
  getResource,
  listResources,
  observe,
  openEmbeddedDatastore,
  readAddressUse,
} from '@amphipod/fabric';
import { lacksPlugin } from './lib/requirements.ts';
import { type Subject, subjects } from './lib/subjects.ts';
import {
  addresses,
  type Config,
  call,
  failureOf,
  inPod,
  link,
  linkNames,
  podLinks,
  run,
  World,
} from './lib/world.ts';

const MASK = /cali[0-9a-f]{11}|cali[a-z0-9]+/;

interface Setting {
  config: Config;
  database: string;
  /** Everything that the datastore has, by key, without what differs from run to run. */
  keys(): Promise<string[]>;
}

/** A network with a pool of each family, in a datastore of the world's own. */
async function setUp(world: World, more: object = {}, ipam: object = {}): Promise<Setting> {
  const database = join(world.dir, 'network.db');
  await using store = openEmbeddedDatastore(database);
  for (const [name, cidr] of [
    ['v4', '10.77.0.0/24'],
    ['v6', 'fd00:77::/112'],
  ] as const) {
    await createResource(store, {
      kind: 'IPPool',
      apiVersion: 'projectcalico.org/v3',
      metadata: { name },
      spec: { cidr },
    });
  }
  const config: Config = {
    type: 'calico',
    datastore_type: 'embedded',
    database,
    nodename: 'n1',
    ipam: { type: 'calico-ipam', ...ipam },
    ...more,
  };
  return {
    config,
    database,
    async keys() {
      await using again = openEmbeddedDatastore(database);
      const { entries } = await again.list('/calico/');
      return entries
        .map(({ key }) => key.replace(/^\/calico\/(ipam\/v2|resources\/v3\/projectcalico.org)\//, ''))
        .filter((key) => !/^(ippools|host|assignment)\//.test(key));
    },
  };
}

/** What the records do not agree on. */
async function mistakes(database: string): Promise<string[]> {
  await using store = openEmbeddedDatastore(database);
  const use = await readAddressUse({ store });
  return findMistakes(await observe({ store }), { use }).map(({ text }) => text);
}

function routeLines(netns: string | undefined, family: '-4' | '-6'): string[] {
  const enter = netns === undefined ? [] : ['nsenter', `--net=${netns}`];
  const [program, ...args] = [...enter, 'ip', family, 'route', 'show'];
  return run(program!, ...args)
    .split('\n')
    .map((line) =>
      line
        .replace(MASK, 'CALI')
        .replace(/ linkdown| pref medium| metric 1024/g, '')
        .trim(),
    )
    .filter((line) => line !== '' && !line.startsWith('fe80::') && !line.includes('proto kernel'))
    .toSorted();
}

const pod = (name: string) => `IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=${name};K8S_POD_UID=u`;
const dual = { assign_ipv6: 'true' };

for (const subject of subjects.filter(({ isOurs }) => isOurs)) {
  describe(`calico, ${subject.name}`, { skip: lacksPlugin(subject, 'calico') }, () => cases(subject));
}

function cases(subject: Subject): void {
  test('ADD gives a routed address with the host as next hop; CHECK agrees; DEL takes all away and may be repeated', async () => {
    using world = new World();
    const { config, database, keys } = await setUp(world, { mtu: 1400 }, dual);
    const netns = world.netns('a');
    const result = await call(subject, 'ADD', config, { netns, args: pod('web') });
    const [hostEnd, podEnd] = result.interfaces!;
    assert.match(hostEnd!.name, /^cali[0-9a-f]{11}$/);
    assert.deepEqual([podEnd!.name, podEnd!.sandbox], ['eth0', netns]);
    const [ipv4, ipv6] = result.ips!.map(({ address }) => address);
    assert.match(ipv4!, /^10\.77\.0\.\d+\/32$/);
    assert.match(ipv6!, /^fd00:77::[0-9a-f:]*\/128$/);
    assert.deepEqual(result.routes, [
      { dst: '0.0.0.0/0', gw: '169.254.1.1' },
      { dst: '::/0', gw: 'fe80::ecee:eeff:feee:eeee' },
    ]);
    assert.deepEqual(addresses('eth0', netns), [ipv4, ipv6]);
    assert.deepEqual([link(hostEnd!.name)!.mtu, link('eth0', netns)!.mtu], [1400, 1400]);
    assert.equal(link(hostEnd!.name)!.address, 'ee:ee:ee:ee:ee:ee');
    assert.equal(link('eth0', netns)!.address, podEnd!.mac);
    assert.deepEqual(routeLines(netns, '-4'), [
      '169.254.1.1 dev eth0 scope link',
      'default via 169.254.1.1 dev eth0',
    ]);
    assert.deepEqual(routeLines(undefined, '-4'), [`${ipv4!.replace('/32', '')} dev CALI scope link`]);
    assert.deepEqual(routeLines(undefined, '-6'), [`${ipv6!.replace('/128', '')} dev CALI`]);
    for (const [key, value] of Object.entries({
      'ipv4.conf.CALI.route_localnet': '1',
      'ipv4.conf.CALI.proxy_arp': '1',
      'ipv4.neigh.CALI.proxy_delay': '0',
      'ipv4.conf.CALI.forwarding': '1',
      'ipv6.conf.CALI.accept_dad': '0',
      'ipv6.conf.CALI.proxy_ndp': '1',
      'ipv6.conf.CALI.forwarding': '1',
      'ipv6.conf.CALI.accept_ra': '0',
    })) {
      assert.equal(run('sysctl', '-n', `net.${key.replace('CALI', hostEnd!.name)}`).trim(), value, key);
    }
    assert.equal(inPod(netns, 'sysctl', '-n', 'net.ipv4.ip_forward').trim(), '0');
    assert.deepEqual(await mistakes(database), []);
    await using store = openEmbeddedDatastore(database);
    const name = 'n1-k8s-web-eth0';
    const endpoint = await getResource(store, 'WorkloadEndpoint', { name, namespace: 'default' });
    assert.deepEqual(endpoint?.spec, {
      orchestrator: 'k8s',
      node: 'n1',
      containerID: 'c1',
      pod: 'web',
      endpoint: 'eth0',
      ipNetworks: [ipv4, ipv6],
      profiles: ['testnet'],
      interfaceName: hostEnd!.name,
      mac: podEnd!.mac,
    });

    await call(subject, 'CHECK', config, { netns, args: pod('web'), prevResult: result });
    await call(subject, 'DEL', config, { netns, args: pod('web'), prevResult: result });
    assert.deepEqual(linkNames(), ['lo']);
    assert.deepEqual(routeLines(undefined, '-4'), []);
    assert.deepEqual(await keys(), []);
    await call(subject, 'DEL', config, { netns, args: pod('web'), prevResult: result });
    await call(subject, 'DEL', config, { netns: '', args: pod('web') });
  });

  test('pods reach one another and the host, in both families', async (t) => {
    using world = new World();
    const { config } = await setUp(world, {}, dual);
    const [a, b] = [world.netns('a'), world.netns('b')];
    // Without a default route, where proxy ARP keeps silent.
    run('ip', 'link', 'set', 'lo', 'up');
    for (const address of ['192.0.2.1/32', '2001:db8::1/128']) {
      run('ip', 'address', 'add', address, 'dev', 'lo');
      t.after(() => run('ip', 'address', 'del', address, 'dev', 'lo'));
    }
    await call(subject, 'ADD', config, { containerID: 'a', netns: a });
    const { ips } = await call(subject, 'ADD', config, { containerID: 'b', netns: b });
    for (const { address } of ips!) {
      const ip = address.split('/')[0]!;
      inPod(a, 'busybox', 'ping', '-c', '1', '-w', '4', ip);
      run('busybox', 'ping', '-c', '1', '-w', '4', ip);
    }
  });

  test('a late DEL of an older sandbox leaves the newer one of the same pod alone', async () => {
    using world = new World();
    const { config, database, keys } = await setUp(world);
    const [older, newer] = [world.netns('older'), world.netns('newer')];
    const args = pod('web');
    const first = await call(subject, 'ADD', config, { containerID: 'older', netns: older, args });
    const second = await call(subject, 'ADD', config, { containerID: 'newer', netns: newer, args });
    assert.equal(second.interfaces![0]!.name, first.interfaces![0]!.name);
    assert.notDeepEqual(second.ips, first.ips);
    assert.deepEqual(podLinks(older), []);
    await call(subject, 'DEL', config, { containerID: 'older', netns: older, args, prevResult: first });
    assert.deepEqual(podLinks(newer), ['eth0']);
    await call(subject, 'CHECK', config, { containerID: 'newer', netns: newer, args, prevResult: second });
    assert.deepEqual(await keys(), ['handle/testnet.newer', 'workloadendpoints/default/n1-k8s-web-eth0']);
    assert.deepEqual(await mistakes(database), []);
    await call(subject, 'DEL', config, { containerID: 'newer', netns: newer, args, prevResult: second });
    assert.deepEqual(await keys(), []);
  });

  test('a second ADD of the same interface fails and harms nothing; one of another interface gives the first one’s result', async () => {
    using world = new World();
    const { config, database } = await setUp(world);
    const netns = world.netns('a');
    const first = await call(subject, 'ADD', config, { netns });
    const error = await failureOf(call(subject, 'ADD', config, { netns }));
    assert.match(error.message, /container interface name \("eth0"\) already exists/);
    const again = await call(subject, 'ADD', config, { netns, ifName: 'eth1' });
    assert.deepEqual(again.ips, first.ips);
    assert.deepEqual(
      again.interfaces!.map(({ name }) => name),
      first.interfaces!.map(({ name }) => name),
    );
    assert.deepEqual(podLinks(netns), ['eth0']);
    await call(subject, 'CHECK', config, { netns, prevResult: first });
    assert.deepEqual(await mistakes(database), []);
  });

  test('annotations: addresses, pools, families, hardware address, floating addresses, source prefixes', async () => {
    using world = new World();
    const { config, database } = await setUp(world, {
      feature_control: { floating_ips: true, ip_addrs_no_ipam: true },
    });
    const annotated = (annotations: Record<string, string>): Config => ({
      ...config,
      capabilities: { 'io.kubernetes.cri.pod-annotations': true },
      runtimeConfig: {
        'io.kubernetes.cri.pod-annotations': Object.fromEntries(
          Object.entries(annotations).map(([name, value]) => [`cni.projectcalico.org/${name}`, value]),
        ),
      },
    });
    let count = 0;
    const attach = async (annotations: Record<string, string>) => {
      const containerID = `c${count++}`;
      const netns = world.netns(containerID);
      const result = await call(subject, 'ADD', annotated(annotations), {
        containerID,
        netns,
        args: pod(containerID),
      });
      return { ...result, addresses: result.ips!.map(({ address }) => address), containerID, netns };
    };
    assert.deepEqual((await attach({ ipAddrs: '["10.77.0.99","fd00:77::99"]' })).addresses, [
      '10.77.0.99/32',
      'fd00:77::99/128',
    ]);
    assert.match(
      (await attach({ ipFamilies: '["IPv6"]', ipv6pools: '["v6"]' })).addresses.join(),
      /^fd00:77::[0-9a-f]+\/128$/,
    );
    assert.match(
      (await attach({ ipv4pools: '["10.77.0.0/24"]', hwAddr: '02:00:5E:00:53:01' })).interfaces![1]!.mac!,
      /^02:00:5e:00:53:01$/,
    );
    const noIpam = await attach({ ipAddrsNoIpam: '["192.0.2.7"]' });
    assert.deepEqual(noIpam.addresses, ['192.0.2.7/32']);
    await call(subject, 'CHECK', annotated({ ipAddrsNoIpam: '["192.0.2.7"]' }), {
      containerID: noIpam.containerID,
      netns: noIpam.netns,
      args: pod(noIpam.containerID),
      prevResult: noIpam,
    });
    const { containerID, addresses: own } = await attach({
      floatingIPs: '["192.0.2.50"]',
      allowedSourcePrefixes: '["198.51.100.0/24"]',
    });
    await using store = openEmbeddedDatastore(database);
    const endpoint = await getResource(store, 'WorkloadEndpoint', {
      name: `n1-k8s-${containerID}-eth0`,
      namespace: 'default',
    });
    assert.deepEqual(endpoint?.spec.ipNATs, [
      { internalIP: own[0]!.replace('/32', ''), externalIP: '192.0.2.50' },
    ]);
    assert.deepEqual(endpoint?.spec.allowSpoofedSourcePrefixes, ['198.51.100.0/24']);

    const refused: [annotations: Record<string, string>, message: RegExp][] = [
      [{ ipAddrs: '["10.77.0.99"]' }, /assign 10.77.0.99: handle "testnet.c0" of pod default\/c0 has it/],
      [
        { ipAddrs: '10.77.0.98' },
        /annotation cni.projectcalico.org\/ipAddrs: "10.77.0.98": want a JSON list of strings/,
      ],
      [{ ipAddrs: '["10.77.0.97","10.77.0.98"]' }, /more than one address of a family/],
      [
        { ipAddrs: '["10.77.0.98"]', ipAddrsNoIpam: '["192.0.2.7"]' },
        /ipAddrsNoIpam: cannot be with ipAddrs/,
      ],
      [{ ipFamilies: '["IPv5"]' }, /ipFamilies: "IPv5": want "IPv4" or "IPv6"/],
      [{ hwAddr: 'x' }, /hwAddr: "x": not a hardware address/],
      [{ ipv4pools: '["nothing"]' }, /choose IPPool: "nothing" is no IPPool for IPv4/],
    ];
    const netns = world.netns('refused');
    const before = linkNames();
    for (const [annotations, message] of refused) {
      const error = await failureOf(
        call(subject, 'ADD', annotated(annotations), { containerID: 'x', netns, args: pod('x') }),
      );
      assert.match(error.message, message);
    }
    const bare = { ...annotated({ ipAddrsNoIpam: '["192.0.2.8"]' }), feature_control: {} };
    assert.match(
      (await failureOf(call(subject, 'ADD', bare, { containerID: 'x', netns }))).message,
      /needs feature_control.ip_addrs_no_ipam/,
    );
    assert.deepEqual(linkNames(), before);
    assert.deepEqual(await mistakes(database), []);
  });

  test('with host-local: its addresses, and the routes that it names', async () => {
    using world = new World();
    const ipam = {
      type: 'host-local',
      subnet: '10.99.0.0/24',
      routes: [{ dst: '10.0.0.0/8' }],
      dataDir: world.dataDir,
    };
    const { config } = await setUp(world, { ipam, container_settings: { allow_ip_forwarding: true } });
    const netns = world.netns('a');
    const result = await call(subject, 'ADD', config, { netns });
    assert.deepEqual(result.ips, [{ address: '10.99.0.2/32', interface: 1 }]);
    assert.deepEqual(routeLines(netns, '-4'), [
      '10.0.0.0/8 via 169.254.1.1 dev eth0',
      '169.254.1.1 dev eth0 scope link',
    ]);
    assert.equal(inPod(netns, 'sysctl', '-n', 'net.ipv4.ip_forward').trim(), '1');
    const both = { ...config, include_default_routes: true };
    const other = world.netns('b');
    await call(subject, 'ADD', both, { containerID: 'b', netns: other });
    assert.ok(routeLines(other, '-4').includes('default via 169.254.1.1 dev eth0'));
    await call(subject, 'DEL', config, { netns, prevResult: result });
    assert.deepEqual(world.reservations('testnet'), ['10.99.0.3']);
  });

  test('GC removes what is no longer valid, of this network and node only', async () => {
    using world = new World();
    const { config, database, keys } = await setUp(world);
    const attach = (containerID: string, more: object = {}) =>
      call(subject, 'ADD', { ...config, ...more }, { containerID, netns: world.netns(containerID) });
    await attach('stays');
    await attach('goes');
    await attach('other', { name: 'othernet' });
    await attach('far', { nodename: 'n2' });
    await call(subject, 'GC', config, { validAttachments: [{ containerID: 'stays', ifName: 'eth0' }] });
    // The pair of the other node is of this machine all the same, and of this network.
    assert.deepEqual(await keys(), [
      'handle/othernet.other',
      'handle/testnet.far',
      'handle/testnet.stays',
      'workloadendpoints/default/n1-cni-other-eth0',
      'workloadendpoints/default/n1-cni-stays-eth0',
      'workloadendpoints/default/n2-cni-far-eth0',
    ]);
    assert.deepEqual(linkNames(), ['caliother', 'calistays', 'lo']);
    assert.deepEqual(await mistakes(database), []);
  });

  test('CHECK tells what is wrong', async () => {
    using world = new World();
    const { config, database } = await setUp(world);
    const netns = world.netns('a');
    const prevResult = await call(subject, 'ADD', config, { netns });
    const [{ name }] = prevResult.interfaces! as [{ name: string }];
    const [{ address }] = prevResult.ips! as [{ address: string }];
    const fails = async (message: RegExp) =>
      assert.match((await failureOf(call(subject, 'CHECK', config, { netns, prevResult }))).message, message);
    run('sysctl', '-w', `net.ipv4.conf.${name}.proxy_arp=0`);
    await fails(/kernel setting net\/ipv4\/conf\/.*\/proxy_arp is 0, not 1/);
    run('sysctl', '-w', `net.ipv4.conf.${name}.proxy_arp=1`);
    run('ip', 'route', 'del', address);
    await fails(/Expected Route .*\/32 of interface cali.* not found/);
    run('ip', 'route', 'add', address, 'dev', name, 'scope', 'link');
    await call(subject, 'CHECK', config, { netns, prevResult });
    await using store = openEmbeddedDatastore(database);
    const { resources } = await listResources(store, 'WorkloadEndpoint');
    await store.delete(
      `/calico/resources/v3/projectcalico.org/workloadendpoints/default/${resources[0]!.metadata.name}`,
    );
    await fails(/there is no WorkloadEndpoint of this container/);
    await store.delete('/calico/ipam/v2/handle/testnet.c1');
    await fails(/address .* is not allocated to handle "testnet.c1"/);
  });

  test('STATUS: free addresses, a ready datastore', async () => {
    using world = new World();
    const { config, database } = await setUp(world);
    await call(subject, 'STATUS', config);
    const none = { ...config, ipam: { type: 'calico-ipam', ipv4_pools: ['nothing'] } };
    assert.equal((await failureOf(call(subject, 'STATUS', none))).number, 50);
    await using store = openEmbeddedDatastore(database);
    await createResource(store, {
      kind: 'ClusterInformation',
      apiVersion: 'projectcalico.org/v3',
      metadata: { name: 'default' },
      spec: { datastoreReady: false },
    });
    const error = await failureOf(call(subject, 'STATUS', config));
    assert.deepEqual(
      [error.number, error.msg],
      [50, 'the datastore is not ready: ClusterInformation "default" says so'],
    );
    const added = await failureOf(call(subject, 'ADD', config, { netns: world.netns('a') }));
    assert.equal(added.number, 11);
  });

  test('a configuration that cannot be used is refused with key and value', async () => {
    using world = new World();
    const { config } = await setUp(world);
    const netns = world.netns('a');
    const cases: [more: object, message: RegExp][] = [
      [
        { datastore_type: 'kubernetes' },
        /key "datastore_type": got "kubernetes", want "etcdv3" or "embedded"/,
      ],
      [{ datastore_type: 'etcdv3' }, /key "etcd_endpoints": missing/],
      [{ device_type: 'netkit' }, /key "device_type": got "netkit", want "veth"/],
      [{ mtu: 'big' }, /key "mtu": got "big", want an integer/],
      [{ ipam: {} }, /key "ipam.type": missing/],
      [
        { ipam: { type: 'calico-ipam', assign_ipv4: 'no' } },
        /key "ipam.assign_ipv4": got "no", want "true" or "false"/,
      ],
      [{ nodename: '', nodename_file: '/nonexistent' }, /read \/nonexistent: no such file/],
      [
        { etcd_cert_file: '/nonexistent', etcd_endpoints: 'http://127.0.0.1:1', datastore_type: '' },
        /key "etcd_cert_file": ENOENT/,
      ],
    ];
    for (const [more, message] of cases) {
      const error = await failureOf(call(subject, 'ADD', { ...config, ...more }, { netns }));
      assert.match(error.message, message);
    }
  });

  test('an address that the machine has another way to is refused, and nothing is left', async () => {
    using world = new World();
    const { config, keys } = await setUp(world);
    run('ip', 'link', 'set', 'lo', 'up');
    run('ip', 'route', 'add', '10.77.0.8/32', 'dev', 'lo', 'scope', 'link');
    const wanting = { ...config, runtimeConfig: { ips: ['10.77.0.8'] } };
    const netns = world.netns('a');
    const error = await failureOf(call(subject, 'ADD', wanting, { netns }));
    assert.match(error.message, /add route to 10.77.0.8\/32 on calic1: one on lo is there already/);
    assert.deepEqual(linkNames(), ['lo']);
    assert.deepEqual(await keys(), []);
    run('ip', 'route', 'del', '10.77.0.8/32');
  });
}
