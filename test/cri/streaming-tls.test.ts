import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { describe, test } from 'node:test';
import { projectDir } from './support/amphipod.ts';
import { findCrictl, lacksCrictl } from './support/crictl.ts';
import { startCrictl, startSession } from './support/crictl-session.ts';
import { useServer } from './support/fixture.ts';
import { withContainer } from './support/pods.ts';

const program = findCrictl();

/** A certificate for the loopback address that signs itself. */
function makeCertificate(dir: string, name: string): { cert: string; key: string } {
  mkdirSync(dir, { recursive: true });
  const [cert, key] = [`${dir}/${name}.crt`, `${dir}/${name}.key`];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'];
  execFileSync('openssl', ['req', '-x509', ...kind, ...names, '-keyout', key, '-out', cert], {
    stdio: 'ignore',
  });
  return { cert, key };
}

describe('streams over TLS', () => {
  let certificate: { cert: string; key: string };
  let other: { cert: string; key: string };
  const fixture = useServer('amphipod', (dir) => {
    certificate = makeCertificate(`${dir}/tls`, 'ours');
    other = makeCertificate(`${dir}/tls`, 'other');
    return { flags: ['--stream-tls-cert', certificate.cert, '--stream-tls-key', certificate.key] };
  });

  test('amphipod exec, with the authority and without', async () => {
    await withContainer(fixture, {}, async (id) => {
      const exec = (ca: string | undefined) =>
        startSession(
          [`${projectDir}/bin/amphipod`, '--socket', fixture.server.socket, 'exec', '-i', id, 'cat'],
          { input: 'over TLS\n', env: ca === undefined ? {} : { NODE_EXTRA_CA_CERTS: ca } },
        ).result;
      const good = await exec(certificate.cert);
      assert.deepEqual([good.code, `${good.stdout}`], [0, 'over TLS\n']);
      for (const ca of [undefined, other.cert]) {
        const bad = await exec(ca);
        assert.equal(bad.code, 125);
        assert.match(bad.stderr, /open stream: .*self[- ]signed certificate/);
        assert.equal(`${bad.stdout}`, '');
      }
    });
  });

  for (const transport of ['spdy', 'websocket'] as const) {
    test(`crictl exec --tls-ca over ${transport}`, { skip: lacksCrictl }, async () => {
      await withContainer(fixture, {}, async (id) => {
        const exec = ({ cert, key }: { cert: string; key: string }) =>
          startCrictl(program!, fixture.server, [
            ...['exec', '--transport', transport, '--tls-ca', cert, '--tls-cert', cert, '--tls-key', key],
            ...[id, 'echo', 'over TLS'],
          ]).result;
        assert.equal(`${(await exec(certificate)).stdout}`, 'over TLS\n');
        assert.notEqual((await exec(other)).code, 0);
      });
    });
  }

  test('URLs say https', async () => {
    await withContainer(fixture, {}, async (id) => {
      const { url } = await fixture.cri.exec({ containerId: id, cmd: ['true'], stdout: true });
      assert.match(url, /^https:\/\/127\.0\.0\.1:\d+\/exec\//);
    });
  });
});
