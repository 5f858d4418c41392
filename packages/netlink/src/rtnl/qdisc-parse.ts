import { AttributeReader } from '../attributes.ts';
import { malformed } from '../errors.ts';
import type { HtbClass, HtbOptions, Qdisc, TbfOptions } from './qdisc-types.ts';
import { TCA, TCA_HTB, TCA_TBF, TCMSG } from './tc-constants.ts';
import { readRate64, readTcHeader } from './tc-message.ts';

/** Sizes of struct tc_tbf_qopt, tc_htb_glob and tc_htb_opt. */
const TBF_QOPT = 36;
const HTB_GLOB = 20;
const HTB_OPT = 44;

/** Reads the payload of an RTM_NEWQDISC. @throws NetlinkError EPROTO */
export function parseQdisc(payload: Buffer): Qdisc {
  const { ifIndex, handle, parent } = readTcHeader(payload);
  const qdisc: Qdisc = { ifIndex, handle, parent, kind: '' };
  const attrs = new AttributeReader(payload, TCMSG);
  while (attrs.next()) {
    // The kernel puts the kind before its options.
    if (attrs.type === TCA.KIND) qdisc.kind = attrs.string();
    else if (attrs.type === TCA.OPTIONS && qdisc.kind === 'tbf') qdisc.tbf = readTbf(attrs.nested());
    else if (attrs.type === TCA.OPTIONS && qdisc.kind === 'htb') qdisc.htb = readHtb(attrs.nested());
  }
  return qdisc;
}

function readTbf(options: AttributeReader): TbfOptions {
  const tbf: TbfOptions = { kind: 'tbf', bytesPerSecond: 0, bufferTicks: 0, limitBytes: 0 };
  while (options.next()) {
    if (options.type === TCA_TBF.PARMS) {
      const parms = expect(options, TBF_QOPT);
      tbf.bytesPerSecond = parms.readUInt32LE(8);
      tbf.limitBytes = parms.readUInt32LE(24);
      tbf.bufferTicks = parms.readUInt32LE(28);
    } else if (options.type === TCA_TBF.RATE64) {
      tbf.bytesPerSecond = readRate64(options.bytes());
    }
  }
  return tbf;
}

function readHtb(options: AttributeReader): HtbOptions {
  const htb: HtbOptions = { kind: 'htb', defaultClass: 0 };
  while (options.next()) {
    if (options.type === TCA_HTB.INIT) htb.defaultClass = expect(options, HTB_GLOB).readUInt32LE(8);
  }
  return htb;
}

/** Reads the payload of an RTM_NEWTCLASS; undefined for the class of another kind. @throws NetlinkError EPROTO */
export function parseHtbClass(payload: Buffer): HtbClass | undefined {
  const { ifIndex, handle, parent } = readTcHeader(payload);
  const attrs = new AttributeReader(payload, TCMSG);
  let kind = '';
  let found: HtbClass | undefined;
  while (attrs.next()) {
    if (attrs.type === TCA.KIND) kind = attrs.string();
    else if (attrs.type === TCA.OPTIONS && kind === 'htb') {
      found = { ifIndex, handle, parent, ...readClassOptions(attrs.nested()) };
    }
  }
  return found;
}

function readClassOptions(options: AttributeReader): Omit<HtbClass, 'ifIndex' | 'handle' | 'parent'> {
  const read = { bytesPerSecond: 0, ceilBytesPerSecond: 0, bufferTicks: 0, ceilBufferTicks: 0 };
  while (options.next()) {
    if (options.type === TCA_HTB.PARMS) {
      const parms = expect(options, HTB_OPT);
      read.bytesPerSecond = parms.readUInt32LE(8);
      read.ceilBytesPerSecond = parms.readUInt32LE(20);
      read.bufferTicks = parms.readUInt32LE(24);
      read.ceilBufferTicks = parms.readUInt32LE(28);
    } else if (options.type === TCA_HTB.RATE64) read.bytesPerSecond = readRate64(options.bytes());
    else if (options.type === TCA_HTB.CEIL64) read.ceilBytesPerSecond = readRate64(options.bytes());
  }
  return read;
}

function expect(attrs: AttributeReader, size: number): Buffer {
  if (attrs.size < size) throw malformed(`traffic control options of ${attrs.size} bytes, expected ${size}`);
  return attrs.bytes();
}
