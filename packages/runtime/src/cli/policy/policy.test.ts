import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { dispatch } from '../dispatch.ts';

const documents = `apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
status: {podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: client, labels: {app: client}}
status: {podIP: 10.0.0.2}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: 80}]}]
`;

function collector() {
  const stream = new Writable({
    write(chunk, _encoding, done) {
      collected.text += String(chunk);
      done();
    },
  });
  const collected = Object.assign(stream, { text: '' });
  return collected;
}

describe('amphipod policy', () => {
  let dir: string;
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'policy-cli-'));
    writeFileSync(join(dir, 'shop.yaml'), documents);
  });
  after(() => rmSync(dir, { recursive: true }));

  async function amphipod(...args: string[]) {
    const [stdout, stderr] = [collector(), collector()];
    const code = await dispatch(
      ['policy', ...args, '--offline', '--policy-dir', join(dir, 'shop.yaml')],
      {},
      { stdout, stderr },
    );
    return { code, out: stdout.text, err: stderr.text };
  }

  it('explains what is allowed with 0, what is denied with 1', async () => {
    const allowed = await amphipod('explain', '--from', 'client', '--to', 'web', '--port', '80');
    assert.equal(allowed.code, 0);
    assert.match(
      allowed.out,
      /^allowed\n.*\n {2}ingress of default\/web: allowed by NetworkPolicy default\/web spec\.ingress\[0\]/,
    );
    const denied = await amphipod(
      'explain',
      '--from',
      '192.0.2.1',
      '--to',
      'web',
      '--port',
      '80',
      '-o',
      'json',
    );
    assert.equal(denied.code, 1);
    assert.equal(JSON.parse(denied.out).isAllowed, false);
    const echo = await amphipod('explain', '--from', 'client', '--to', 'web', '--protocol', 'icmp');
    assert.equal(echo.code, 1);
  });

  it('says what is wrong with the question', async () => {
    const err = async (...args: string[]) => (await amphipod('explain', ...args)).err;
    assert.match(await err('--from', 'client'), /give --from and --to/);
    assert.match(await err('--from', 'client', '--to', 'web'), /give --port/);
    assert.match(
      await err('--from', 'client', '--to', 'web', '--port', '0'),
      /--port 0: must be a number from 1 to 65535/,
    );
    assert.match(
      await err('--from', 'client', '--to', 'nobody', '--port', '1'),
      /find "nobody": no pod "default\/nobody"/,
    );
    assert.match(
      await err('--from', 'client', '--to', 'fd00::1', '--port', '1'),
      /no address family in common/,
    );
  });

  it('tests expectations', async () => {
    const file = join(dir, 'expected.txt');
    writeFileSync(
      file,
      '- {from: client, to: web, port: 80, expect: allow}\n- {from: client, to: web, port: 81, expect: allow}\n',
    );
    const { code, out } = await amphipod('test', file);
    assert.equal(code, 1);
    assert.match(out, /^client to web tcp 81: denied, expected allowed: .*\n1 of 2 hold\n$/);
    writeFileSync(file, '- {from: client, to: web, port: 80, expect: yes}\n');
    const wrong = await amphipod('test', file);
    assert.equal(wrong.code, 125);
    assert.match(wrong.err, /\[0\]: expect: "yes": must be allow or deny/);
  });

  it('lints', async () => {
    const { code, out } = await amphipod('lint');
    assert.deepEqual({ code, out }, { code: 0, out: '' });
  });
});
