import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MessageWriter } from './attributes.ts';
import { parseFlow } from './conntrack.ts';
import { attributes, isProtocolError } from './fake-kernel.ts';
import { nft } from './index.ts';
import { parseIp } from './ip.ts';
import { parseElementList } from './nft/element-parse.ts';
import { parseChain, parseRule, parseSet, parseTable } from './nft/object-parse.ts';
import type { NftMap, NftOp } from './nft/objects.ts';
import { describeOp, writeOp } from './nft/op-write.ts';
import { parseAddress } from './rtnl/address.ts';
import { parseFdbEntry } from './rtnl/fdb.ts';
import { parseU32Filter } from './rtnl/filter.ts';
import { parseLink } from './rtnl/link-parse.ts';
import { parseNeighbour } from './rtnl/neighbour.ts';
import { parseHtbClass, parseQdisc } from './rtnl/qdisc-parse.ts';
import { parseRoute } from './rtnl/route-parse.ts';
import { parseRuleMessage } from './rtnl/rule.ts';

const at = { family: 'ip', table: 't' } as const;
const map: NftMap = {
  object: 'map',
  ...at,
  set: 'm',
  key: ['inet_service'],
  data: ['ipv4_addr'],
  hasIntervals: true,
};

/** The payload of the message that makes an object, which has the form of the one that describes it. */
function payloadOf(op: NftOp): Buffer {
  const writer = new MessageWriter();
  writeOp(writer, op, () => writer.finish(1));
  assert.ok(writer.length > 16, describeOp(op));
  return Buffer.from(writer.bytes().subarray(16));
}

const link = Buffer.concat([
  Buffer.alloc(16),
  attributes((writer) => {
    writer.string(3, 'veth0');
    writer.bytesOf(1, Buffer.from('020000000001', 'hex'));
    writer.u32(4, 1500);
    writer.nested(18, () => {
      writer.string(1, 'bridge');
      writer.nested(2, () => writer.u8(7, 1));
      writer.string(4, 'bridge');
      writer.nested(5, () => writer.u8(4, 1));
    });
  }),
]);
const ip4 = Buffer.from([10, 0, 0, 1]);
const route = Buffer.concat([
  Buffer.from([2, 24, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0]),
  attributes((writer) => {
    writer.bytesOf(1, ip4);
    writer.nested(8, () => writer.u32(2, 1400));
    writer.nested(9, () => writer.sized(8, () => writer.bytesOf(5, ip4)));
    writer.bytesOf(18, Buffer.concat([Buffer.from([10, 0]), Buffer.alloc(16)]));
  }),
]);
const flow = Buffer.concat([
  Buffer.from([2, 0, 0, 0]),
  attributes((writer) =>
    writer.nested(1, () => {
      writer.nested(1, () => {
        writer.bytesOf(1, ip4);
        writer.bytesOf(2, ip4);
      });
      writer.nested(2, () => {
        writer.u8(1, 17);
        writer.u16be(3, 53);
      });
    }),
  ),
]);
const entry = (family: number) =>
  Buffer.concat([
    Buffer.from([family, 0, 0, 0, 1, 0, 0, 0, 0x80, 0, 0, 0]),
    attributes((writer) => {
      writer.bytesOf(1, ip4);
      writer.bytesOf(2, Buffer.alloc(6));
    }),
  ]);
const address = Buffer.concat([
  Buffer.from([2, 24, 0, 0, 1, 0, 0, 0]),
  attributes((writer) => {
    writer.bytesOf(1, ip4);
    writer.bytesOf(2, ip4);
    writer.u32(8, 0x80);
  }),
]);
const rule = payloadOf({
  op: 'add',
  object: 'rule',
  ...at,
  chain: 'c',
  comment: 'why',
  expressions: [
    nft.eq(nft.fib.type('daddr'), 2),
    nft.hasAny(nft.ct.state, 6),
    nft.vmap(nft.ip.daddr, 'v'),
    nft.limit(5, 'minute'),
    nft.log({ prefix: 'x', level: 'warn', group: 3 }),
    nft.dnatMap(nft.th.dport, 'm', { family: 'ip', hasPort: false }),
    nft.masquerade('random'),
    nft.reject(),
    nft.jump('d'),
  ],
});
/** A message of traffic control: struct tcmsg, the kind, its options. */
const tc = (kind: string, info: number, writeOptions: (writer: MessageWriter) => void) => {
  const header = Buffer.alloc(20);
  header.writeInt32LE(7, 4);
  header.writeUInt32LE(info, 16);
  const attrs = attributes((writer) => {
    writer.string(1, kind);
    writer.nested(2, () => writeOptions(writer));
  });
  return Buffer.concat([header, attrs]);
};
const u32Selector = Buffer.alloc(32);
u32Selector[2] = 1;
u32Selector.writeUInt32BE(0xff, 16);
const parsers: [name: string, parse: (payload: Buffer) => unknown, sample: Buffer][] = [
  ['link', parseLink, link],
  ['address', parseAddress, address],
  ['route', parseRoute, route],
  ['neighbour', parseNeighbour, entry(2)],
  ['fdb entry', parseFdbEntry, entry(7)],
  [
    'routing rule',
    parseRuleMessage,
    Buffer.concat([Buffer.from([2, 0, 24, 0, 9, 0, 0, 1, 0, 0, 0, 0]), attributes((w) => w.bytesOf(2, ip4))]),
  ],
  [
    'tbf qdisc',
    parseQdisc,
    tc('tbf', 0, (writer) => {
      writer.bytesOf(1, Buffer.alloc(36));
      writer.bytesOf(4, Buffer.alloc(8));
    }),
  ],
  ['htb qdisc', parseQdisc, tc('htb', 0, (writer) => writer.bytesOf(2, Buffer.alloc(20)))],
  [
    'htb class',
    parseHtbClass,
    tc('htb', 0, (writer) => {
      writer.bytesOf(1, Buffer.alloc(44));
      writer.bytesOf(6, Buffer.alloc(8));
    }),
  ],
  [
    'u32 filter',
    parseU32Filter,
    tc('u32', 0x0008, (writer) => {
      writer.u32(1, 0x10001);
      writer.bytesOf(5, u32Selector);
      writer.nested(7, () =>
        writer.nested(1, () => {
          writer.string(1, 'mirred');
          writer.nested(2, () => writer.bytesOf(2, Buffer.alloc(28)));
        }),
      );
    }),
  ],
  ['flow', parseFlow, flow],
  ['nft table', parseTable, payloadOf({ op: 'add', object: 'table', ...at, comment: 'c' })],
  [
    'nft chain',
    parseChain,
    payloadOf({
      op: 'add',
      object: 'chain',
      ...at,
      chain: 'c',
      base: { type: 'nat', hook: 'output', priority: -100, device: 'eth0' },
    }),
  ],
  ['nft rule', parseRule, rule],
  ['nft set', parseSet, payloadOf({ op: 'add', ...map, size: 5, comment: 'c', timeoutMs: 5 })],
  [
    'nft elements',
    parseElementList,
    payloadOf({
      op: 'add',
      object: 'elements',
      of: map,
      elements: [{ key: [1], keyEnd: [5], data: [parseIp('10.0.0.1')], comment: 'c', timeoutMs: 5 }],
    }),
  ],
];

for (const [name, parse, sample] of parsers) {
  test(`${name}: a sound message is read`, () => {
    assert.ok(parse(sample) !== undefined);
  });

  test(`${name}: a message cut short or with bytes changed is read or refused with EPROTO`, () => {
    const change = fc.tuple(fc.nat({ max: sample.length - 1 }), fc.nat({ max: 255 }));
    fc.assert(
      fc.property(fc.nat({ max: sample.length }), fc.array(change, { maxLength: 6 }), (length, changes) => {
        const bytes = Buffer.from(sample);
        for (const [index, value] of changes) bytes[index] = value;
        try {
          parse(bytes.subarray(0, changes.length === 0 ? length : undefined));
        } catch (error) {
          assert.ok(isProtocolError(error), String(error));
        }
      }),
      { numRuns: 1500 },
    );
  });
}
