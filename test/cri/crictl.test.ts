import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { type Crictl, crictlFor, findCrictl, lacksCrictl } from './support/crictl.ts';
import { type SubjectName, startSubject, subjects } from './support/fixture.ts';
import { podCgroup, removeCgroups } from './support/pods.ts';
import { startRegistry } from './support/registry.ts';
import { makeScratch } from './support/scratch.ts';
import { buildBusyboxImage } from './support/test-images.ts';
import { eventually } from './support/wait.ts';

const program = findCrictl();
const id = /^[0-9a-f]{64}$/;

interface Listed {
  id: string;
  state: string;
  metadata: { name: string };
  labels: Record<string, string>;
}

for (const subject of subjects) {
  describe(`crictl with ${subject}`, { skip: lacksCrictl }, () => {
    test('runs a pod from pull to rmi', (t) => podLife(t, subject));
  });
}

async function podLife(t: test.TestContext, subject: SubjectName): Promise<void> {
  using scratch = makeScratch('crictl');
  await using registry = await startRegistry(`${scratch.dir}/registry`);
  const image = buildBusyboxImage(`${scratch.dir}/image`);
  const reference = await registry.push(image, 'test/busybox:v1');
  mkdirSync(`${scratch.dir}/server`);
  await using stack = new AsyncDisposableStack();
  stack.defer(removeCgroups);
  const server = stack.use(
    await startSubject(subject, { dir: `${scratch.dir}/server`, registries: [registry.host] }),
  );
  const crictl = crictlFor(program!, server);
  const files = writeConfigs(scratch.dir, reference);
  const step = (name: string, work: () => Promise<void>) => t.test(name, work);

  await step('version', async () => {
    const text = await crictl('version');
    assert.match(text, new RegExp(`^RuntimeName: +${subject}$`, 'm'));
    assert.match(text, /^RuntimeApiVersion: +v1$/m);
  });
  await step('info', async () => {
    const { status } = await crictl.json<{ status: { conditions: { type: string; status: boolean }[] } }>(
      'info',
    );
    for (const type of ['RuntimeReady', 'NetworkReady']) {
      assert.equal(status.conditions.find((condition) => condition.type === type)?.status, true, type);
    }
  });
  await step('pull', async () => {
    assert.equal(await crictl('pull', reference), `Image is up to date for ${image.id}\n`);
  });
  await step('images', async () => {
    const { images } = await crictl.json<{
      images: { id: string; repoTags: string[]; repoDigests: string[] }[];
    }>('images');
    const listed = images.find(({ repoTags }) => repoTags.includes(reference));
    assert.equal(listed?.id, image.id);
    assert.deepEqual(listed.repoDigests, [`${registry.host}/test/busybox@${image.manifestDigest}`]);
    assert.match(
      await crictl('images'),
      new RegExp(`^${registry.host}/test/busybox +v1 +${image.id.slice(7, 20)}`, 'm'),
    );
  });

  let podId = '';
  let containerId = '';
  await step('runp', async () => {
    podId = (await crictl('runp', files.pod)).trim();
    assert.match(podId, id);
  });
  await step('pods', async () => {
    const { items } = await crictl.json<{ items: Listed[] }>('pods');
    assert.deepEqual(
      items.map((pod) => [pod.id, pod.state, pod.metadata.name, pod.labels.app]),
      [[podId, 'SANDBOX_READY', 'crictl-pod', 'web']],
    );
    assert.match(
      await crictl('pods'),
      new RegExp(`^${podId.slice(0, 13)} .* Ready +crictl-pod +default +7 `, 'm'),
    );
    assert.equal(await crictl('pods', '-q', '--no-trunc', '--label', 'app=web'), `${podId}\n`);
    assert.equal(await crictl('pods', '-q', '--label', 'app=other'), '');
  });
  await step('create', async () => {
    containerId = (await crictl('create', podId, files.container, files.pod)).trim();
    assert.match(containerId, id);
    assert.deepEqual(await containers(crictl, '-a'), [[containerId, 'CONTAINER_CREATED', 'web']]);
    assert.deepEqual(await containers(crictl), []);
  });
  await step('start', async () => {
    assert.equal(await crictl('start', containerId), `${containerId}\n`);
  });
  await step('ps', async () => {
    assert.deepEqual(await containers(crictl), [[containerId, 'CONTAINER_RUNNING', 'web']]);
    assert.match(await crictl('ps'), new RegExp(`^${containerId.slice(0, 13)} .* Running +web +2 `, 'm'));
  });
  await step('exec -s', async () => {
    // crictl puts a newline after each stream.
    assert.equal(await crictl('exec', '-s', containerId, 'echo', 'hello  there'), 'hello  there\n\n\n');
    const failure = await crictl.failing('exec', '-s', containerId, 'sh', '-c', 'exit 3');
    assert.match(failure, /exited with 3/);
  });
  await step('logs', async () => {
    const text = await eventually('two lines in the log', async () => {
      const lines = await crictl('logs', containerId);
      return lines.includes('second') && lines;
    });
    assert.equal(text, 'first line\nsecond line\n');
    assert.equal(await crictl('logs', '--tail', '1', containerId), 'second line\n');
    assert.match(
      await crictl('logs', '-t', '--tail', '1', containerId),
      /^\d{4}-\d\d-\d\dT\S+ stdout F second line\n$|^\d{4}-\d\d-\d\dT\S+ second line\n$/,
    );
  });
  await step('inspect', async () => {
    const { status, info } = await crictl.json<Inspected>('inspect', containerId);
    assert.equal(status.id, containerId);
    assert.equal(status.state, 'CONTAINER_RUNNING');
    assert.equal(status.metadata.name, 'web');
    assert.equal(status.metadata.attempt, 2);
    // containerd 1.6 is older than this field.
    if (subject !== 'containerd') assert.equal(status.imageId, image.id);
    assert.equal(status.logPath, `${scratch.dir}/logs/web.log`);
    assert.ok(
      Date.parse(status.startedAt) >= Date.parse(status.createdAt),
      `${status.createdAt} ${status.startedAt}`,
    );
    assert.ok(Number(info.pid) > 1, `pid ${info.pid}`);
    assert.equal(info.sandboxID, podId);
  });
  await step('inspectp', async () => {
    const { status } = await crictl.json<Inspected>('inspectp', podId);
    assert.equal(status.id, podId);
    assert.equal(status.state, 'SANDBOX_READY');
    assert.match(status.network.ip, /^10\.201\./);
    assert.equal(status.metadata.uid, 'crictl-uid');
    const page = await fetch(`http://${status.network.ip}:8080/`);
    assert.equal(await page.text(), 'hello from amphipod\n');
  });
  await step('a prefix of an id is enough', async () => {
    assert.match(await crictl('inspect', containerId.slice(0, 13)), new RegExp(containerId));
  });
  await step('stop', async () => {
    assert.equal(await crictl('stop', '-t', '5', containerId), `${containerId}\n`);
    const { status } = await crictl.json<Inspected>('inspect', containerId);
    assert.deepEqual([status.state, status.exitCode], ['CONTAINER_EXITED', 0]);
  });
  await step('rm', async () => {
    assert.equal(await crictl('rm', containerId), `${containerId}\n`);
    assert.deepEqual(await containers(crictl, '-a'), []);
    assert.match(await crictl.failing('inspect', containerId), /NotFound|not found/i);
  });
  await step('stopp', async () => {
    assert.equal(await crictl('stopp', podId), `Stopped sandbox ${podId}\n`);
    assert.equal((await crictl.json<Inspected>('inspectp', podId)).status.state, 'SANDBOX_NOTREADY');
  });
  await step('rmp', async () => {
    assert.equal(await crictl('rmp', podId), `Removed sandbox ${podId}\n`);
    assert.deepEqual((await crictl.json<{ items: Listed[] }>('pods')).items, []);
  });
  await step('rmi', async () => {
    assert.match(await crictl('rmi', reference), new RegExp(`Deleted: ${reference}`));
    assert.doesNotMatch(await crictl('images', '--digests'), /test\/busybox/);
  });
}

interface Inspected {
  status: {
    id: string;
    state: string;
    metadata: { name: string; attempt: number; uid: string };
    imageId: string;
    logPath: string;
    createdAt: string;
    startedAt: string;
    exitCode: number;
    network: { ip: string };
  };
  info: { pid: number | string; sandboxID: string };
}

async function containers(crictl: Crictl, ...flags: string[]): Promise<string[][]> {
  const answer = await crictl.json<{ containers: Listed[] }>('ps', ...flags);
  return answer.containers.map((one) => [one.id, one.state, one.metadata.name]);
}

/** The JSON that people hand to crictl. */
function writeConfigs(dir: string, image: string): { pod: string; container: string } {
  const options = { network: 0, pid: 1, ipc: 0 };
  const files = { pod: `${dir}/pod.json`, container: `${dir}/container.json` };
  const pod = {
    metadata: { name: 'crictl-pod', namespace: 'default', uid: 'crictl-uid', attempt: 7 },
    hostname: 'crictl-host',
    log_directory: `${dir}/logs`,
    labels: { app: 'web' },
    linux: { cgroup_parent: podCgroup('crictl'), security_context: { namespace_options: options } },
  };
  const script = 'echo first line; echo second line; trap "exit 0" TERM; httpd -f -p 8080 -h /var/www & wait';
  const container = {
    metadata: { name: 'web', attempt: 2 },
    image: { image },
    command: ['sh', '-c', script],
    log_path: 'web.log',
    linux: { security_context: { namespace_options: options } },
  };
  mkdirSync(`${dir}/logs`, { recursive: true });
  writeFileSync(files.pod, JSON.stringify(pod));
  writeFileSync(files.container, JSON.stringify(container));
  return files;
}
