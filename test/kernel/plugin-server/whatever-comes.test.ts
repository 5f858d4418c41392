import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, fallBack, frame, hello, isServing, listen, plugin, start, version } from './support.ts';

describe('plugin server: whatever comes', () => {
  for (const [what, bytes] of [
    ['nothing', Buffer.alloc(0)],
    ['text', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['another frame', frame('I', '{}')],
    ['a hello that is none', frame('H', 'x')],
    ['a size beyond all measure', Buffer.from('H\xff\xff\xff\xff', 'latin1')],
    ['half a frame', frame('H', 'abc').subarray(0, 6)],
  ] as [string, Buffer][]) {
    test(`${what}, and a closed half`, async () => {
      const socket = await connect();
      socket.end(bytes);
      const answer = await listen(socket);
      assert.ok(answer === '' || answer.startsWith('N'), JSON.stringify(answer));
      await isServing();
    });
  }

  test('a hello byte by byte, beside others', async () => {
    const socket = await connect();
    const answer = listen(socket);
    for (const byte of hello('bridge', { CNI_COMMAND: 'VERSION' })) {
      socket.write(Buffer.from([byte]));
      await sleep(1);
    }
    await isServing();
    await sleep(50);
    socket.end(frame('A'));
    assert.match(await answer, /^R\0?/);
  });

  test('more on stdin than a server takes goes to Node.js', async () => {
    const env = {
      CNI_COMMAND: 'ADD',
      CNI_CONTAINERID: 'c',
      CNI_IFNAME: 'eth0',
      CNI_NETNS: '/x',
      CNI_PATH: '/x',
    };
    const big = Buffer.alloc((64 << 20) + 1, 'x').toString();
    const { code, stdout } = await start([plugin('bridge')], { ...env, ...fallBack }, big).ended;
    assert.equal(code, 1);
    assert.match(stdout, /error unmarshall network config/);
    await isServing();
  });

  test('500 at once', async () => {
    const endings = await Promise.all(Array.from({ length: 500 }, () => version().ended));
    assert.equal(endings.filter(({ code }) => code === 0).length, 500);
    assert.equal(new Set(endings.map(({ stdout }) => stdout)).size, 1);
  });

  test('callers who are killed at any moment', async () => {
    for (let i = 0; i < 40; i++) {
      const { child, ended } = version();
      await sleep(i / 10);
      child.kill('SIGKILL');
      await ended;
    }
    await isServing();
  });
});
