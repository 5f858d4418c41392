import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { GobDecoder } from './gob-decoder.ts';
import { GobEncoder } from './gob-encoder.ts';
import type { GobObject, GobStruct } from './gob-types.ts';
import {
  cmdArgs,
  decodeCmdArgs,
  decodeResultBody,
  emptyBody,
  encodeCmdArgs,
  encodeResultBody,
  resultBody,
  rpcRequest,
} from './rpc-messages.ts';

// What Go 1.24 writes for the types of the reference: two requests, the first with its arguments.
const REQUESTS =
  '2e7f030101075265717565737401ff80000102010d536572766963654d6574686f64010c000103536571010600000016ff80010d444843502e416c6c6f6361746501fe012c006cff8103010107436d644172677301ff82000107010b436f6e7461696e65724944010c0001054e65746e73010c00010649664e616d65010c00010441726773010c00010450617468010c00010d4e65746e734f76657272696465010c000109537464696e44617461010a0000002eff8201026331010c2f72756e2f6e65746e732f780104657468300103413d42030c7b226e616d65223a226e227d0016ff80010c444843502e52656c6561736501fd01117000';
// Two answers: a result, and an error with the empty body that follows it.
const ANSWERS =
  '3aff8303010108526573706f6e736501ff84000103010d536572766963654d6574686f64010c00010353657101060001054572726f72010c00000012ff84010d444843502e416c6c6f636174650051ff8503010106526573756c7401ff86000105010a434e4956657273696f6e010c00010a496e746572666163657301ff8a00010349507301ff90000106526f7574657301ff94000103444e5301ff9600000020ff89020101115b5d2a6d61696e2e496e7465726661636501ff8a0001ff88000031ff87030102ff8800010401044e616d65010c0001034d6163010c0001034d7475010400010753616e64626f78010c0000001fff8f020101105b5d2a6d61696e2e4950436f6e66696701ff900001ff8c000033ff8b030102ff8c0001030109496e7465726661636501040001074164647265737301ff8e00010747617465776179010a00000023ff8d0301010549504e657401ff8e00010201024950010a0001044d61736b010a0000001cff930201010d5b5d2a6d61696e2e526f75746501ff940001ff92000050ff91030102ff92000107010344737401ff8e0001024757010a0001034d545501040001064164764d535301040001085072696f7269747901040001055461626c65010400010553636f7065010400000046ff9503010103444e5301ff96000104010b4e616d657365727665727301ff98000106446f6d61696e010c00010653656172636801ff980001074f7074696f6e7301ff9800000016ff97020101085b5d737472696e6701ff9800010c000079ff860105312e312e30020102011000000000000000000000ffff0a62004d0104ffffff0000011000000000000000000000ffff0a620001000102010104000000000104000000000001040a6200010309000101040a0500000104ffff00000001040000000005fe01fa000101010931302e39382e302e31000017ff84010c444843502e52656c65617365010101026e6f000aff99030102ff9a00000003ff9a00';

function decodeAll(bytes: Uint8Array, chunk = bytes.length): GobObject[] {
  const decoder = new GobDecoder();
  const values: GobObject[] = [];
  for (let at = 0; at < bytes.length; at += chunk) {
    decoder.push(bytes.subarray(at, at + chunk));
    for (let value = decoder.next(); value !== undefined; value = decoder.next()) values.push(value);
  }
  return values;
}

for (const chunk of [1, 7, 10_000]) {
  test(`reads what Go writes, in pieces of ${chunk} bytes`, () => {
    const [first, args, second] = decodeAll(Buffer.from(REQUESTS, 'hex'), chunk);
    assert.deepEqual(first, { ServiceMethod: 'DHCP.Allocate', Seq: 300 });
    assert.deepEqual(decodeCmdArgs(args!), {
      containerID: 'c1',
      netns: '/run/netns/x',
      ifName: 'eth0',
      args: 'A=B',
      path: '',
      stdinData: '{"name":"n"}',
    });
    assert.deepEqual(second, { ServiceMethod: 'DHCP.Release', Seq: 70_000 });
    const [, result, refusal, nothing] = decodeAll(Buffer.from(ANSWERS, 'hex'), chunk);
    assert.deepEqual(decodeResultBody(result!), {
      ips: [{ address: '10.98.0.77/24', gateway: '10.98.0.1' }],
      routes: [
        { dst: '0.0.0.0/0', gw: '10.98.0.1', priority: -5 },
        { dst: '10.5.0.0/16', gw: '0.0.0.0', scope: 253 },
      ],
      dns: { nameservers: ['10.98.0.1'] },
    });
    assert.deepEqual(refusal, { ServiceMethod: 'DHCP.Release', Seq: 1, Error: 'no' });
    assert.deepEqual(nothing, {});
  });
}

test('a request is byte for byte what Go writes, but for the numbers of types', () => {
  const encoder = new GobEncoder();
  const ours = encoder.encode(rpcRequest, { ServiceMethod: 'DHCP.Allocate', Seq: 300 }).toString('hex');
  // Type 65 of this stream is Go's 64, whose number is a byte shorter at one place: ids are each program's own.
  assert.ok(REQUESTS.startsWith(ours.replace('2fff8103', '2e7f03').replaceAll('ff82', 'ff80')));
});

test('everything comes back', () => {
  const encoder = new GobEncoder();
  const args = {
    containerID: 'c',
    netns: '/n',
    ifName: 'eth0',
    args: '',
    path: '/p',
    stdinData: 'x'.repeat(70_000),
  };
  const result = {
    ips: [{ address: '10.98.0.77/24', gateway: '10.98.0.1' }, { address: 'fd00::7/64' }],
    routes: [
      { dst: '0.0.0.0/0', gw: '10.98.0.1', priority: 7 },
      { dst: '10.0.0.0/8', scope: 253 },
    ],
    dns: { nameservers: ['10.98.0.1'], domain: 'a.test', search: ['b.test'], options: ['ndots:2'] },
  };
  const stream = Buffer.concat([
    encoder.encode(cmdArgs, encodeCmdArgs(args)),
    encoder.encode(emptyBody, {}),
    encoder.encode(resultBody, encodeResultBody(result)),
    encoder.encode(resultBody, encodeResultBody({})),
  ]);
  const [first, second, third, fourth] = decodeAll(stream);
  assert.deepEqual(decodeCmdArgs(first!), args);
  assert.deepEqual(second, {});
  assert.deepEqual(decodeResultBody(third!), result);
  assert.deepEqual(decodeResultBody(fourth!), {});
});

test('numbers of all sizes', () => {
  const type: GobStruct = {
    name: 'N',
    fields: [
      ['I', 'int'],
      ['U', 'uint'],
      ['B', 'bool'],
    ],
  };
  fc.assert(
    fc.property(fc.maxSafeInteger(), fc.nat(Number.MAX_SAFE_INTEGER), fc.boolean(), (i, u, b) => {
      const safe = Math.trunc(i / 4);
      const [value] = decodeAll(new GobEncoder().encode(type, { I: safe, U: u, B: b }));
      const expected = { ...(safe !== 0 && { I: safe }), ...(u !== 0 && { U: u }), ...(b && { B: true }) };
      assert.deepEqual({ ...value }, expected);
    }),
  );
});

test('damaged streams are refused, and nothing hangs', () => {
  const good = Buffer.from(ANSWERS, 'hex');
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.nat(255), (at, byte) => {
      const bytes = Buffer.from(good);
      bytes[at] = byte;
      try {
        for (const value of decodeAll(bytes)) decodeResultBody(value);
      } catch (error) {
        assert.ok(error instanceof RangeError, String(error));
      }
    }),
    { numRuns: 5000 },
  );
});
