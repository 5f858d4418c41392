import { inNetns, NETLINK, NetlinkSocket } from '@amphipod/linux';
import { AttributeReader, MessageWriter } from '../attributes.ts';
import { NetlinkConn, type NetlinkMessage, NLM_F } from '../conn.ts';
import { ERRNO, NetlinkError } from '../errors.ts';

// include/uapi/linux/genetlink.h
const GENL_ID_CTRL = 0x10;
const CTRL_CMD_GETFAMILY = 3;
const CTRL_ATTR = { FAMILY_ID: 1, FAMILY_NAME: 2 } as const;
/** struct genlmsghdr */
export const GENL_HEADER = 4;

/** What a request to a generic netlink family says before its attributes. */
export interface GenlCommand {
  /** Name of the family: `wireguard`. */
  family: string;
  command: number;
  version: number;
  /** NLM_F_ flags beside REQUEST. */
  flags: number;
}

/**
 * A connection to the kernel's generic netlink families in one network namespace: that in which it was opened, wherever
 * the thread goes later.
 */
export class Genl extends NetlinkConn {
  readonly #families = new Map<string, number>();

  /** The number that the kernel gave a family when it was loaded. @throws NetlinkError ENOENT when the kernel does not have it */
  familyId(name: string): number {
    const known = this.#families.get(name);
    if (known !== undefined) return known;
    const message = beginCommand(GENL_ID_CTRL, { command: CTRL_CMD_GETFAMILY, version: 1, flags: NLM_F.ACK });
    message.string(CTRL_ATTR.FAMILY_NAME, name);
    const op = `find netlink family ${JSON.stringify(name)}`;
    const [reply] = this.execute({ op, message });
    const attrs = new AttributeReader(
      reply?.payload ?? Buffer.alloc(0),
      reply === undefined ? 0 : GENL_HEADER,
    );
    while (attrs.next()) {
      if (attrs.type !== CTRL_ATTR.FAMILY_ID) continue;
      this.#families.set(name, attrs.u16());
      return attrs.u16();
    }
    throw new NetlinkError(op, ERRNO.EPROTO, { message: 'the kernel gave no number' });
  }

  /** Sends one command and gives what answers it. @param op the words for errors @throws NetlinkError */
  command(op: string, command: GenlCommand, fill: (message: MessageWriter) => void): NetlinkMessage[] {
    const message = beginCommand(this.familyId(command.family), command);
    fill(message);
    return this.execute({ op, message });
  }
}

function beginCommand(type: number, { command, version, flags }: Omit<GenlCommand, 'family'>): MessageWriter {
  const message = new MessageWriter(512).message(type, NLM_F.REQUEST | flags);
  const header = message.header(GENL_HEADER);
  header[0] = command;
  header[1] = version;
  return message;
}

/** Opens a connection in the thread's current network namespace. @throws SyscallError */
export function openGenl(): Genl {
  return new Genl(new NetlinkSocket(NETLINK.GENERIC));
}

/** Opens a connection in another network namespace: an open descriptor or a path. @throws SyscallError */
export function openGenlIn(netns: string | number): Genl {
  return inNetns<Genl>(netns, openGenl);
}
