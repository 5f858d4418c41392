import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { beforeEach, describe, test } from 'node:test';
import { useServer } from './support/fixture.ts';
import { createContainer, execText, type Pod, startContainer, withPod } from './support/pods.ts';
import { grpcCode, refuses } from './support/refuses.ts';
import { eventually } from './support/wait.ts';

type Given = Omit<Parameters<typeof createContainer>[2], 'image'>;

describe('CDI devices', () => {
  const dirs = (dir: string) => [`${dir}/cdi-etc`, `${dir}/cdi-run`] as const;
  const fixture = useServer('amphipod', (dir) => ({ flags: ['--cdi-spec-dirs', dirs(dir).join(',')] }));
  const [etc, run] = [() => dirs(fixture.server.dir)[0], () => dirs(fixture.server.dir)[1]];
  beforeEach(() => {
    for (const dir of [etc(), run()]) {
      rmSync(dir, { recursive: true, force: true });
      mkdirSync(dir);
    }
  });
  const start = (pod: Pod, given: Given) =>
    startContainer(fixture.cri, pod, { image: fixture.image, ...given });
  const create = (pod: Pod, given: Given) =>
    createContainer(fixture.cri, pod, { image: fixture.image, ...given });
  const field = (...names: string[]): Given => ({ CDIDevices: names.map((name) => ({ name })) });
  const shell = (id: string, script: string) => execText(fixture.cri, id, ['sh', '-c', script]);
  const spec = (kind: string, devices: object[], more: object = {}) =>
    JSON.stringify({ cdiVersion: '0.6.0', kind, devices, ...more });

  test('environment, device, mount and group; the file’s own edits once', async () => {
    writeFileSync(`${fixture.dir}/lib.so`, 'library\n');
    writeFileSync(
      `${etc()}/gpu.yaml`,
      `cdiVersion: 0.5.0
kind: example.com/gpu
containerEdits:
  env: [DRIVER=yes]
  mounts:
    - hostPath: ${fixture.dir}/lib.so
      containerPath: /usr/lib/lib.so
      options: [ro, bind]
devices:
  - name: 0
    containerEdits:
      env: ["GPU=zero", "FROM_IMAGE=no, from CDI"]
      deviceNodes:
        - path: /dev/gpu0
          hostPath: /dev/null
          permissions: rw
      additionalGids: [44]
  - name: "1"
    containerEdits:
      deviceNodes:
        - {path: /dev/gpu1, type: c, major: 1, minor: 5, fileMode: 432}
`,
    );
    await withPod(fixture.cri, {}, async (pod) => {
      const id = await start(pod, field('example.com/gpu=0', 'example.com/gpu=1'));
      assert.equal(
        await shell(id, 'echo $DRIVER $GPU $FROM_IMAGE; cat /usr/lib/lib.so'),
        'yes zero no, from CDI\nlibrary\n',
      );
      assert.equal(await shell(id, 'stat -c "%t:%T %a" /dev/gpu0 /dev/gpu1'), '1:3 666\n1:5 660\n');
      assert.equal(await shell(id, 'echo x > /dev/gpu0 && head -c 1 /dev/gpu1 | wc -c; id -G'), '1\n0 44\n');
      assert.match(await shell(id, 'echo x > /usr/lib/lib.so'), /Read-only file system/);
      const { status } = await fixture.cri.containerStatus({ containerId: id });
      assert.deepEqual(status!.mounts, []);
    });
  });

  test('annotations name devices too; a later directory wins', async () => {
    const edits = (value: string) => [{ name: 'a', containerEdits: { env: [`WHERE=${value}`] } }];
    writeFileSync(`${etc()}/x.json`, spec('example.com/x', edits('etc')));
    writeFileSync(`${run()}/x.json`, spec('example.com/x', edits('run')));
    await withPod(fixture.cri, {}, async (pod) => {
      const given = { annotations: { 'cdi.k8s.io/plugin': 'example.com/x=a' } };
      assert.equal(await shell(await start(pod, given), 'echo $WHERE'), 'run\n');
    });
  });

  test('hooks run, at the start and after the end', async () => {
    const hook = (hookName: string) => ({
      hookName,
      path: '/bin/sh',
      args: ['sh', '-c', `cat >/dev/null; echo ${hookName} >> ${fixture.dir}/hooks`],
    });
    const hooks = ['createRuntime', 'poststart', 'poststop'].map(hook);
    writeFileSync(`${etc()}/h.json`, spec('example.com/h', [{ name: 'a', containerEdits: { hooks } }]));
    await withPod(fixture.cri, {}, async (pod) => {
      const containerId = await start(pod, field('example.com/h=a'));
      const ran = () =>
        existsSync(`${fixture.dir}/hooks`) ? readFileSync(`${fixture.dir}/hooks`, 'utf8') : '';
      assert.equal(ran(), 'createRuntime\npoststart\n');
      await fixture.cri.stopContainer({ containerId, timeout: 0 });
      await eventually('poststop', () => ran().endsWith('poststop\n'));
      await fixture.cri.removeContainer({ containerId });
      assert.equal(ran(), 'createRuntime\npoststart\npoststop\n');
    });
  });

  test('what is wrong is told: names, missing devices, files', async () => {
    writeFileSync(`${etc()}/broken.json`, '{');
    writeFileSync(
      `${etc()}/unknown.json`,
      spec('example.com/u', [{ name: 'a', containerEdits: { netDevices: [] } }]),
    );
    const device = [{ name: 'twice' }];
    for (const name of ['t1', 't2']) writeFileSync(`${etc()}/${name}.json`, spec('example.com/t', device));
    await withPod(fixture.cri, {}, async (pod) => {
      await refuses(
        create(pod, field('gpu0')),
        grpcCode.INVALID_ARGUMENT,
        /CDI device "gpu0": must be VENDOR\/CLASS=NAME/,
      );
      const missing = create(pod, field('example.com/u=a', 'example.com/t=twice', 'example.com/none=a'));
      await refuses(
        missing,
        grpcCode.FAILED_PRECONDITION,
        /find CDI devices example\.com\/u=a, example\.com\/t=twice, example\.com\/none=a: not in .*broken\.json: .*; example\.com\/t=twice is in .*t1\.json and .*t2\.json; .*unknown\.json: .*netDevices: not supported/,
      );
      assert.deepEqual(
        (await fixture.cri.listContainers({ filter: { podSandboxId: pod.id } })).containers,
        [],
      );
    });
  });
});
