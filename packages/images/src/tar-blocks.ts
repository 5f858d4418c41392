/** Bytes to put into a header block, and where; latin1. */
export type HeaderField = [offset: number, bytes: string];

/** A tar header block as old programs wrote it, with `fields` put at their offsets and the checksum made. */
export function tarBlock(fields: readonly HeaderField[]): Buffer {
  const header = Buffer.alloc(512);
  header.write('0000644\0', 100, 'latin1');
  header.write('0000000\0', 108, 'latin1');
  header.write('0000000\0', 116, 'latin1');
  header.write('00000000000\0', 124, 'latin1');
  header.write('00000000000\0', 136, 'latin1');
  header.write('0', 156);
  for (const [offset, bytes] of fields) header.write(bytes, offset, 'latin1');
  return withChecksum(header);
}

/** The size field of a header. */
export function sizeField(bytes: number): HeaderField {
  return [124, `${bytes.toString(8).padStart(11, '0')}\0`];
}

/** A header block followed by its data, filled up to whole blocks. */
export function rawMember(header: Buffer, data: string | Buffer = ''): Buffer {
  const bytes = typeof data === 'string' ? Buffer.from(data, 'latin1') : data;
  const padded = Buffer.alloc(Math.ceil(bytes.length / 512) * 512);
  bytes.copy(padded);
  return Buffer.concat([header, padded]);
}

/** Writes the checksum of a header block into it. */
export function withChecksum(header: Buffer): Buffer {
  header.fill(' ', 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}
