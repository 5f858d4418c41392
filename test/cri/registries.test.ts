import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { useServer } from './support/fixture.ts';
import { run } from './support/program.ts';
import { grpcCode, refuses } from './support/refuses.ts';
import { type Registry, startRegistry } from './support/registry.ts';
import { buildBusyboxImage, type TestImage } from './support/test-images.ts';
import { eventually } from './support/wait.ts';

const accept = [{ type: 'insecureAcceptAnything' }];

describe('the daemon reaches registries and checks signatures as its settings say', () => {
  const fixture = useServer('amphipod', (dir) => {
    mkdirSync(`${dir}/certs.d/images.example`, { recursive: true });
    writePolicy(dir, {});
    writeSettings(dir, {});
    return { flags: ['--config', `${dir}/config.toml`] };
  });
  let registry: Registry;
  let image: TestImage;
  before(async () => {
    registry = await startRegistry(`${fixture.dir}/registry`);
    image = buildBusyboxImage(`${fixture.dir}/app`, {
      name: 'localhost/app:v1',
      extra: [{ path: 'app', data: 'x' }],
    });
    await registry.push(image, 'app:v1');
  });
  after(() => registry[Symbol.asyncDispose]());
  const pull = (name: string) => fixture.cri.pullImage({ image: { image: name } }, { timeoutMs: 60_000 });

  test('an image whose signature the policy does not find is refused in the form that the kubelet shows to users', async () => {
    const dir = fixture.server.dir;
    writePolicy(dir, { [registry.host]: [{ type: 'reject' }] });
    const name = `${registry.host}/app:v1`;
    await refuses(
      pull(name),
      grpcCode.UNKNOWN,
      new RegExp(
        `^SignatureValidationFailed: check signature of ${name}: the policy rejects it \\(${dir}/policy\\.json`,
      ),
    );
    assert.equal((await fixture.cri.imageStatus({ image: { image: name } })).image, undefined);
    await run(['openssl', 'ecparam', '-genkey', '-name', 'prime256v1', '-noout', '-out', `${dir}/key.pem`]);
    await run(['openssl', 'ec', '-in', `${dir}/key.pem`, '-pubout', '-out', `${dir}/key.pub`]);
    const signed = { type: 'sigstoreSigned', keyPath: `${dir}/key.pub` };
    writePolicy(dir, { [registry.host]: [signed] });
    await refuses(pull(name), grpcCode.UNKNOWN, /^SignatureValidationFailed: .*: it is not signed \(/);
    writePolicy(dir, { [registry.host]: accept });
    assert.equal((await pull(name)).imageRef, image.id, 'without a restart');
    await fixture.cri.removeImage({ image: { image: name } });
  });

  test('an image in a file is refused in the same form', async () => {
    const archive = `${fixture.dir}/app.tar`;
    await run(['tar', '-C', image.dir, '-cf', archive, '.']);
    writePolicy(fixture.server.dir, {}, []);
    await refuses(
      pull(`oci-archive:${archive}`),
      grpcCode.UNKNOWN,
      /^SignatureValidationFailed: check signature of oci-archive ".*app\.tar": the policy rejects it/,
    );
    writePolicy(fixture.server.dir, {});
  });

  test('mirrors of hosts.toml serve a registry that is not there; a mistake in the file is named', async () => {
    const dir = fixture.server.dir;
    writePolicy(dir, { 'images.example': accept });
    const file = `${dir}/certs.d/images.example/hosts.toml`;
    writeFileSync(file, `[host."http://${registry.host}"]\nskip_verfy = true\n`);
    await refuses(
      pull('images.example/app:v1'),
      grpcCode.FAILED_PRECONDITION,
      new RegExp(
        `read ${file}: host\\."http://${registry.host}"\\.skip_verfy = true: no such key: known are`,
      ),
    );
    writeFileSync(file, `[host."http://${registry.host}"]\n`);
    assert.equal((await pull('images.example/app:v1')).imageRef, image.id);
    const { image: found } = await fixture.cri.imageStatus({ image: { image: 'images.example/app:v1' } });
    assert.deepEqual(found?.repoTags, ['images.example/app:v1']);
  });

  test('a reload takes up another policy and another directory', async () => {
    const dir = fixture.server.dir;
    const name = 'images.example/app:v1';
    await fixture.cri.removeImage({ image: { image: name } });
    mkdirSync(`${dir}/other/images.example`, { recursive: true });
    writeFileSync(`${dir}/other/images.example/hosts.toml`, 'mistake = 1');
    writeFileSync(`${dir}/strict.json`, '{"default": [{"type": "reject"}]}');
    const reload = async (changed: object, expected: RegExp) => {
      writeSettings(dir, changed);
      process.kill(fixture.server.program().pid, 'SIGHUP');
      await eventually(`a pull that says ${expected}`, () =>
        pull(name).then(
          () => expected.test('pulled'),
          (error: { details?: string }) => expected.test(error.details ?? ''),
        ),
      );
    };
    await reload({ signature_policy: `${dir}/strict.json` }, /strict\.json, default\)$/);
    await reload({ registry_config_dir: `${dir}/other` }, /mistake = 1: no such key/);
    await reload({}, /^pulled$/);
  });

  test('a policy that cannot be read keeps the daemon from starting, with file, key and value', async () => {
    await fixture.server.kill('SIGTERM');
    writeFileSync(`${fixture.server.dir}/policy.json`, '{"default": [{"type": "accept"}]}');
    await assert.rejects(
      fixture.server.start(),
      /read .*policy\.json: default\[0\]\.type = \\?"accept\\?": must be insecureAcceptAnything/,
    );
    writePolicy(fixture.server.dir, {});
    await fixture.server.start();
  });
});

function writeSettings(dir: string, changed: object): void {
  const settings = {
    registry_config_dir: `${dir}/certs.d`,
    registry_auth_file: `${dir}/auth.json`,
    signature_policy: `${dir}/policy.json`,
    ...changed,
  };
  const lines = Object.entries(settings).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`);
  writeFileSync(`${dir}/config.toml`, lines.join(''));
}

/** Everything is rejected but what is given, and archives unless there is another list for them. */
function writePolicy(dir: string, docker: object, archives: object[] = accept): void {
  const transports = { docker, ...(archives.length > 0 && { 'oci-archive': { '': archives } }) };
  writeFileSync(`${dir}/policy.json`, JSON.stringify({ default: [{ type: 'reject' }], transports }));
}
