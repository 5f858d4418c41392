import { mkdirSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { dirname } from 'node:path';

/** firewalld as far as the firewall plugin asks it: zones with their sources. */
export interface FakeFirewalld extends AsyncDisposable {
  /** `trusted 10.0.0.2/32` */
  readonly sources: Set<string>;
}

type Reply = { signature: 's' | 'b'; value: string | boolean } | { error: string };

/** A system bus on which firewalld has its name and nobody else is. */
export async function startFakeFirewalld(socketPath: string): Promise<FakeFirewalld> {
  const sources = new Set<string>();
  const answer = (member: string, [zone = '', address = '']: string[]): Reply => {
    if (member === 'Hello') return { signature: 's', value: ':1.1' };
    if (member === 'NameHasOwner') return { signature: 'b', value: zone === 'org.fedoraproject.FirewallD1' };
    if (member === 'GetNameOwner') return { signature: 's', value: ':1.2' };
    const source = `${zone} ${address}`;
    if (zone === 'missing') return { error: `INVALID_ZONE: ${zone}` };
    if (member === 'querySource') return { signature: 'b', value: sources.has(source) };
    const isThere = sources.has(source);
    if (member === 'addSource') {
      sources.add(source);
      return isThere ? { error: `ZONE_ALREADY_SET: ${address}` } : { signature: 's', value: zone };
    }
    sources.delete(source);
    return isThere ? { signature: 's', value: zone } : { error: `UNKNOWN_SOURCE: ${address}` };
  };
  mkdirSync(dirname(socketPath), { recursive: true });
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    serve(socket, answer);
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  return {
    sources,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      rmSync(socketPath, { force: true });
    },
  };
}

function serve(socket: Socket, answer: (member: string, args: string[]) => Reply): void {
  let received = Buffer.alloc(0);
  let isAuthenticated = false;
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    while (!isAuthenticated) {
      const end = received.indexOf('\r\n');
      if (end < 0) return;
      const line = received.subarray(0, end).toString('latin1').replace('\0', '');
      received = received.subarray(end + 2);
      if (line === 'BEGIN') isAuthenticated = true;
      else socket.write(`${greet(line)}\r\n`);
    }
    for (;;) {
      const length = messageLength(received);
      if (length === undefined) return;
      const { serial, member, args } = parseCall(received.subarray(0, length));
      received = received.subarray(length);
      socket.write(encodeReply(serial, answer(member, args)));
    }
  });
}

/** Anybody may speak: the authentication of D-Bus, as libsystemd and Go's client begin it. */
function greet(line: string): string {
  if (line === 'AUTH') return 'REJECTED EXTERNAL';
  if (line === 'AUTH EXTERNAL') return 'DATA';
  return line.startsWith('AUTH EXTERNAL ') || line.startsWith('DATA') ? `OK ${'0'.repeat(31)}1` : 'ERROR';
}

const align = (value: number, to: number) => Math.ceil(value / to) * to;

function messageLength(bytes: Buffer): number | undefined {
  if (bytes.length < 16) return undefined;
  const length = 16 + align(bytes.readUInt32LE(12), 8) + bytes.readUInt32LE(4);
  return bytes.length < length ? undefined : length;
}

/** A method call whose arguments are strings: header fields are structures of a number and a variant. */
function parseCall(bytes: Buffer): { serial: number; member: string; args: string[] } {
  const fieldsEnd = 16 + bytes.readUInt32LE(12);
  let member = '';
  for (let at = 16; at < fieldsEnd; ) {
    const code = bytes[at]!;
    const type = String.fromCharCode(bytes[at + 2]!);
    at += 4;
    if (type === 'g') at += bytes[at]! + 2;
    else if (type === 'u') at += 4;
    else {
      const length = bytes.readUInt32LE(at);
      if (code === 3) member = bytes.toString('utf8', at + 4, at + 4 + length);
      at += 4 + length + 1;
    }
    at = align(at, 8);
  }
  const args: string[] = [];
  for (let at = align(fieldsEnd, 8); at < bytes.length; ) {
    at = align(at, 4);
    const length = bytes.readUInt32LE(at);
    args.push(bytes.toString('utf8', at + 4, at + 4 + length));
    at += 4 + length + 1;
  }
  return { serial: bytes.readUInt32LE(8), member, args };
}

function encodeReply(to: number, reply: Reply): Buffer {
  const isError = 'error' in reply;
  const body = isError
    ? text(reply.error)
    : typeof reply.value === 'string'
      ? text(reply.value)
      : number(reply.value ? 1 : 0);
  const fields = [
    field(5, 'u', number(to)),
    ...(isError ? [field(4, 's', text('org.fedoraproject.FirewallD1.Exception'))] : []),
    field(7, 's', text('org.freedesktop.DBus')),
    field(8, 'g', signature(isError ? 's' : reply.signature)),
  ];
  const length = fields.reduce((before, bytes) => align(before, 8) + bytes.length, 0);
  const header = Buffer.concat([Buffer.from([0x6c, isError ? 3 : 2, 0, 1]), number(body.length), number(to)]);
  return Buffer.concat([header, number(length), ...fields.map(pad), body]);
}

function field(code: number, type: string, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from([code]), signature(type), value]);
}

function signature(type: string): Buffer {
  return Buffer.from([type.length, ...Buffer.from(type), 0]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(`${value}\0`);
  return Buffer.concat([number(bytes.length - 1), bytes]);
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function pad(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(align(bytes.length, 8) - bytes.length)]);
}
