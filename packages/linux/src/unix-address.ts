export const AF_UNIX = 1;

/** struct sockaddr_un of a path (unix(7)). @throws RangeError when it does not fit: 107 bytes */
export function unixAddress(path: string): Buffer {
  const bytes = Buffer.from(`${path}\0`);
  if (bytes.length > 108) throw new RangeError(`socket path ${JSON.stringify(path)}: longer than 107 bytes`);
  const address = Buffer.alloc(2 + bytes.length);
  address.writeUInt16LE(AF_UNIX, 0);
  bytes.copy(address, 2);
  return address;
}
