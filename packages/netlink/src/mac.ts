/** True for `02:00:00:0a:0b:0c`. */
export function isMac(text: string): boolean {
  return /^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(text);
}

/** Reads `02:00:00:0a:0b:0c`. @throws RangeError */
export function parseMac(text: string): Buffer {
  if (!isMac(text)) {
    throw new RangeError(`parse mac address ${JSON.stringify(text)}: not six bytes in hexadecimal`);
  }
  return Buffer.from(text.replaceAll(':', ''), 'hex');
}

/** `02:00:00:0a:0b:0c`; also for hardware addresses of other lengths. */
export function formatMac(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += `${byte < 16 ? ':0' : ':'}${byte.toString(16)}`;
  return text.slice(1);
}
