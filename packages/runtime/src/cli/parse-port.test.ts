import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatPort, parsePort } from './parse-port.ts';

test('every form is read and printed again', () => {
  const cases: Record<string, string> = {
    '8080:80': '8080:80/tcp',
    '8080:80/TCP': '8080:80/tcp',
    '53:53/udp': '53:53/udp',
    '9:9/sctp': '9:9/sctp',
    '127.0.0.1:8080:80': '127.0.0.1:8080:80/tcp',
    '[::1]:8080:80/udp': '[::1]:8080:80/udp',
    ':8080:80': '8080:80/tcp',
  };
  for (const [text, printed] of Object.entries(cases)) assert.equal(formatPort(parsePort(text)), printed);
});

test('anything else is refused with the reason', () => {
  const cases: Record<string, RegExp> = {
    '80': /expected HOST:CONTAINER/,
    '': /expected HOST:CONTAINER/,
    '80:': /expected HOST:CONTAINER/,
    '0:80': /0 is not between 1 and 65535/,
    '80:65536': /65536 is not between 1 and 65535/,
    '80:80/icmp': /unknown protocol "icmp"/,
    'localhost:80:80': /"localhost" is not an address/,
    '::1:80:80': /expected HOST:CONTAINER/,
    '80-90:80-90': /expected HOST:CONTAINER/,
  };
  for (const [text, message] of Object.entries(cases)) assert.throws(() => parsePort(text), message, text);
});
