import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BoundPlugin, bindPlugin } from '@amphipod/cni';
import { NETLINK, NetlinkSocket } from '@amphipod/linux';
import {
  AttributeReader,
  linkFind,
  MessageWriter,
  openNft,
  openRtnl,
  parseMac,
  Rtnl,
  type VfInfo,
} from '@amphipod/netlink';
import { openPluginHost, sriovIn } from '@amphipod/plugins';
import { inPod, run, type World } from './world.ts';

// include/uapi/linux/{rtnetlink,if_link}.h
const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const NLMSG_ERROR = 2;
const IFLA_VFINFO_LIST = 22;
const IFLA_EXT_MASK = 29;
const RTEXT_FILTER_VF = 1;
const HEADER = 16;
const EINVAL = 22;
const EOPNOTSUPP = 95;
const NO_MAC = '00:00:00:00:00:00';
const states = ['auto', 'enable', 'disable'] as const;

export const addresses = ['0000:01:10.0', '0000:01:10.2'] as const;

/**
 * A network card with two virtual functions for kernels that have none: the functions' interfaces are veths, sysfs is a directory, and
 * what is said to and by the physical function is answered here, as igb does: no link state, no least rate. All else goes to the kernel.
 */
export class FakeCard {
  readonly vfs: VfInfo[];
  readonly plugin: BoundPlugin;
  readonly stateDir: string;
  readonly #sysfs: string;
  readonly #pfIndex: number;
  /** Its own connection: the plugin's is watched. */
  readonly #rtnl: Rtnl;

  constructor(world: World) {
    this.stateDir = world.makeDir('sriov');
    this.#sysfs = world.makeDir('sysfs');
    for (const name of ['pf0', 'vf0', 'vf1']) {
      run('ip', 'link', 'add', name, 'type', 'veth', 'peer', 'name', `${name}p`);
      run('ip', 'link', 'set', `${name}p`, 'up');
    }
    run('ip', 'link', 'set', 'pf0', 'up');
    this.#rtnl = openRtnl();
    this.#pfIndex = linkFind(this.#rtnl, 'pf0')!.ifIndex;
    this.#makeSysfs();
    this.vfs = addresses.map((_, index) => ({
      ...{ index, mac: NO_MAC, linkState: 'auto', spoofCheck: true, trust: false, rate: { min: 0, max: 0 } },
      vlan: { id: 0, qos: 0, protocol: '802.1Q' },
    }));
    this.#showInterfaces();
    const host = openPluginHost({ openRtnl: () => this.#open(), openNft });
    this.plugin = bindPlugin(sriovIn({ sysfs: this.#sysfs, stateDir: this.stateDir }), () => host);
  }

  /** What DEL has to put back. */
  state(index: number): object {
    const link = this.interfaceOf(index);
    return {
      vf: structuredClone(this.vfs[index]),
      netdev: link && { name: link.name, mac: link.mac, mtu: link.mtu, alias: link.alias ?? '' },
    };
  }

  /** Of a virtual function, when it is on the host. */
  interfaceOf(index: number) {
    const peer = linkFind(this.#rtnl, `vf${index}p`)!;
    return peer.peerNetnsId === undefined ? linkFind(this.#rtnl, peer.peerIndex!) : undefined;
  }

  /** The end of a pod's namespace, as hardware has it: the interface falls back to the host under the pod's name, with its alias. */
  fallBack(netns: string, ifName: string, hostName = ifName): void {
    inPod(netns, 'ip', 'link', 'set', ifName, 'down');
    inPod(netns, 'ip', 'link', 'set', ifName, 'netns', String(process.pid), 'name', hostName);
    this.#showInterfaces();
  }

  #makeSysfs(): void {
    const dir = join(this.#sysfs, 'bus/pci/devices');
    const pf = join(dir, '0000:01:00.0');
    mkdirSync(join(pf, 'net/pf0'), { recursive: true });
    for (const [i, address] of addresses.entries()) {
      const vf = join(dir, address);
      mkdirSync(vf, { recursive: true });
      mkdirSync(join(this.#sysfs, 'bus/pci/drivers/igbvf'), { recursive: true });
      symlinkSync('../../drivers/igbvf', join(vf, 'driver'));
      symlinkSync('../0000:01:00.0', join(vf, 'physfn'));
      symlinkSync(`../${address}`, join(pf, `virtfn${i}`));
      writeFileSync(join(vf, 'class'), '0x020000\n');
    }
  }

  /** sysfs shows the interfaces that are in the host's namespace. */
  #showInterfaces(): void {
    for (const [i, address] of addresses.entries()) {
      const dir = join(this.#sysfs, 'bus/pci/devices', address, 'net');
      rmSync(dir, { recursive: true, force: true });
      const name = this.interfaceOf(i)?.name;
      if (name !== undefined) mkdirSync(join(dir, name), { recursive: true });
    }
  }

  #open(): Rtnl {
    const socket = new NetlinkSocket(NETLINK.ROUTE);
    const answers: Buffer[] = [];
    const transport = {
      send: (datagram: Buffer) => {
        const answer = this.#answer(datagram);
        if (answer !== undefined) return void answers.push(answer);
        socket.send(datagram);
        if (datagram.readUInt16LE(4) === RTM_NEWLINK) this.#showInterfaces();
      },
      receiveNow: () => answers.shift() ?? socket.receiveNow(),
      close: () => socket.close(),
    };
    return new Rtnl(transport, () => {
      throw new Error('no second socket wanted');
    });
  }

  /** Undefined for what the kernel is to answer. */
  #answer(datagram: Buffer): Buffer | undefined {
    const type = datagram.readUInt16LE(4);
    const isPf = datagram.readInt32LE(HEADER + 4) === this.#pfIndex;
    if (!isPf || (type !== RTM_NEWLINK && type !== RTM_GETLINK)) return undefined;
    const sequence = datagram.readUInt32LE(8);
    const attrs = new AttributeReader(datagram, HEADER + 16);
    while (attrs.next()) {
      if (attrs.type === IFLA_EXT_MASK && (attrs.u32() & RTEXT_FILTER_VF) !== 0) return this.#list(sequence);
      if (attrs.type === IFLA_VFINFO_LIST) return acknowledge(sequence, this.#set(attrs.nested()));
    }
    return undefined;
  }

  #list(sequence: number): Buffer {
    const message = new MessageWriter().message(RTM_NEWLINK, 0);
    message.header(16).writeInt32LE(this.#pfIndex, 4);
    message.nested(IFLA_VFINFO_LIST, () => {
      for (const vf of this.vfs) message.nested(1, () => writeVf(message, vf));
    });
    message.finish(sequence);
    return Buffer.from(message.bytes());
  }

  /** Errno, or 0. */
  #set(list: AttributeReader): number {
    list.next();
    const vf = list.nested();
    vf.next();
    const bytes = vf.bytes();
    // The VLAN is one level further down.
    const at = vf.type === 12 ? bytes.subarray(4) : bytes;
    const now = this.vfs[at.readUInt32LE(0)]!;
    const number = () => at.readUInt32LE(4);
    switch (vf.type) {
      case 1:
        now.mac = [...at.subarray(4, 10)].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
        return 0;
      case 4:
        now.spoofCheck = number() !== 0;
        return 0;
      case 5:
        return EOPNOTSUPP;
      case 6:
        if (number() !== 0) return EINVAL;
        now.rate = { min: 0, max: at.readUInt32LE(8) };
        return 0;
      case 9:
        now.trust = number() !== 0;
        return 0;
      case 12:
        now.vlan = { id: number(), qos: at.readUInt32LE(8), protocol: '802.1Q' };
        return 0;
      default:
        throw new Error(`unknown setting ${vf.type}`);
    }
  }
}

function acknowledge(sequence: number, errno: number): Buffer {
  const message = Buffer.alloc(36);
  message.writeUInt32LE(message.length, 0);
  message.writeUInt16LE(NLMSG_ERROR, 4);
  message.writeUInt32LE(sequence, 8);
  message.writeInt32LE(-errno, HEADER);
  return message;
}

function writeVf(message: MessageWriter, vf: VfInfo): void {
  const numbers = (...values: number[]) => {
    const bytes = Buffer.alloc((values.length + 1) * 4);
    for (const [i, value] of [vf.index, ...values].entries()) bytes.writeUInt32LE(value, i * 4);
    return bytes;
  };
  const mac = Buffer.alloc(36);
  mac.writeUInt32LE(vf.index, 0);
  parseMac(vf.mac).copy(mac, 4);
  message.bytesOf(1, mac);
  message.bytesOf(2, numbers(vf.vlan.id, vf.vlan.qos));
  message.bytesOf(4, numbers(Number(vf.spoofCheck)));
  message.bytesOf(5, numbers(states.indexOf(vf.linkState)));
  message.bytesOf(6, numbers(vf.rate.min, vf.rate.max));
  message.bytesOf(9, numbers(Number(vf.trust)));
}
