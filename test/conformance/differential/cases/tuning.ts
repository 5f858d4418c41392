import type { DifferentialCase } from '../case.ts';

const versions = ['0.3.1', '0.4.0', '1.0.0'];
const bridge = { type: 'bridge', bridge: 'tb0', ipam: { type: 'host-local', subnet: '10.99.0.0/24' } };
const tuning = { type: 'tuning', dataDir: 'DATADIR' };
const mac = 'c2:11:22:33:44:55';

/** Of every case that keeps old settings in a file. */
const differs = {
  '^files\\..*\\.text$': 'the file also says whose it is, for GC and late DELs; the reference does not mind',
};

export const cases: DifferentialCase[] = [
  {
    name: 'sysctls',
    versions,
    plugins: [
      bridge,
      {
        ...tuning,
        sysctl: { 'net.ipv4.conf.eth0.rp_filter': '2', 'net/ipv4/conf/all/log_martians': '1' },
      },
    ],
  },
  {
    name: 'a sysctl with IFNAME',
    plugins: [bridge, { ...tuning, sysctl: { 'net.ipv4.conf.IFNAME.rp_filter': '2' } }],
    referenceLacks: 'IFNAME (1.1.1 in Debian)',
  },
  { name: 'mtu', versions, plugins: [bridge, { ...tuning, mtu: 1400 }], differs },
  { name: 'mac', versions, plugins: [bridge, { ...tuning, mac }], differs },
  { name: 'promisc', plugins: [bridge, { ...tuning, promisc: true }], differs },
  { name: 'promisc false', plugins: [bridge, { ...tuning, promisc: false }] },
  { name: 'allmulti', plugins: [bridge, { ...tuning, allmulti: true }], differs },
  { name: 'allmulti false', plugins: [bridge, { ...tuning, allmulti: false }], differs },
  {
    name: 'txQLen',
    plugins: [bridge, { ...tuning, txQLen: 77 }],
    referenceLacks: 'txQLen (1.2)',
  },
  {
    name: 'everything at once',
    versions,
    plugins: [bridge, { ...tuning, mac, mtu: 1300, promisc: true, allmulti: true, sysctl: {} }],
    differs,
  },
  {
    name: 'mac by runtimeConfig',
    plugins: [bridge, { ...tuning, capabilities: { mac: true } }],
    capabilityArgs: { mac },
    differs,
  },
  {
    name: 'mac by CNI_ARGS',
    plugins: [{ type: 'bridge', bridge: 'tb0' }, tuning],
    args: [
      ['IgnoreUnknown', '1'],
      ['MAC', mac],
    ],
    differs: { ...differs, '^check$': 'the reference cannot check a bridge without IPAM' },
  },
  {
    name: 'args.cni',
    plugins: [
      bridge,
      {
        ...tuning,
        mtu: 1400,
        sysctl: { 'net.ipv4.conf.all.log_martians': '0' },
        args: {
          cni: {
            mtu: 1200,
            promisc: true,
            allmulti: true,
            sysctl: { 'net.ipv4.conf.all.log_martians': '1' },
          },
        },
      },
    ],
    differs,
  },
  { name: 'nothing', plugins: [bridge, tuning] },
  {
    name: 'the directory that is there unless one is given',
    plugins: [bridge, { type: 'tuning', mtu: 1400 }],
    differs,
  },
];
