import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { type Fixture, useServer } from './support/fixture.ts';
import { execText, podIp, removePod, runPod, runToEnd, startContainer } from './support/pods.ts';
import { run } from './support/program.ts';
import { eventually } from './support/wait.ts';

const page = 'hello from amphipod';
const webServer = ['httpd', '-f', '-p', '8080', '-h', '/var/www'];

const denyAll = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny-all, namespace: test}
spec: {podSelector: {matchLabels: {app: client}}, policyTypes: [Ingress, Egress]}
`;
const allowWeb = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: to-web, namespace: test}
spec:
  podSelector: {matchLabels: {role: allowed}}
  policyTypes: [Egress]
  egress: [{to: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 8080}]}]
`;

describe('network policy of amphipod up --policy-dir', () => {
  let dir: string;
  const fixture: Fixture = useServer('amphipod', (serverDir) => {
    dir = `${serverDir}/policies`;
    mkdirSync(dir);
    writeFileSync(`${dir}/deny.yaml`, denyAll);
    writeFileSync(`${dir}/allow.yaml`, allowWeb);
    return { flags: ['--policy-dir', dir] };
  });

  const web = async (labels: Record<string, string> = { app: 'web' }) => {
    const pod = await runPod(fixture.cri, { labels });
    await startContainer(fixture.cri, pod, { image: fixture.image, command: webServer });
    const ip = await podIp(fixture.cri, pod);
    // The node reaches its pods whatever policies say.
    const answers = async () => (await (await fetch(`http://${ip}:8080/`)).text()).includes(page);
    await eventually('the web server', answers);
    return { pod, ip };
  };
  /** Busybox's own time limit of wget ends in a segmentation fault. */
  const ask = (ip: string) => ['timeout', '2', 'wget', '-qO-', `http://${ip}:8080/`];
  const rules = () => run(['nft', 'list', 'table', 'inet', 'amphipod_policy']);

  test('a pod is isolated before its first process, which tries 50 times at once (POL-01)', async () => {
    const { pod, ip } = await web();
    const logDirectory = `${fixture.dir}/logs`;
    const client = await runPod(fixture.cri, { labels: { app: 'client' }, logDirectory });
    // An exit code of 143 is that of the time limit: nobody answered, not even by a refusal.
    const attempts = `for i in $(seq 50); do (${ask(ip).join(' ')} || echo ended $?) & done; wait`;
    const { stdout } = await runToEnd(fixture.cri, client, {
      image: fixture.image,
      command: ['sh', '-c', attempts],
    });
    assert.deepEqual(stdout.trim().split('\n'), Array(50).fill('ended 143'));
    await removePod(fixture.cri, client);
    await removePod(fixture.cri, pod);
  });

  test('what is allowed works from the first process on (POL-02)', async () => {
    const { pod, ip } = await web();
    const logDirectory = `${fixture.dir}/logs`;
    const client = await runPod(fixture.cri, { labels: { app: 'client', role: 'allowed' }, logDirectory });
    const { stdout } = await runToEnd(fixture.cri, client, { image: fixture.image, command: ask(ip) });
    assert.match(stdout, new RegExp(page));
    await removePod(fixture.cri, client);
    await removePod(fixture.cri, pod);
  });

  test('a changed file is taken up; a mistake in it opens nothing (POL-05)', async () => {
    const { pod, ip } = await web();
    const client = await runPod(fixture.cri, { labels: { app: 'client' } });
    const id = await startContainer(fixture.cri, client, { image: fixture.image });
    assert.doesNotMatch(await execText(fixture.cri, id, ask(ip)), /hello/);
    writeFileSync(`${dir}/deny.yaml`, denyAll.replace('Egress]', 'Outgress]'));
    writeFileSync(
      `${dir}/more.yaml`,
      allowWeb.replace('to-web', 'more').replace('role: allowed', 'app: client'),
    );
    await eventually('the new policy', async () => (await execText(fixture.cri, id, ask(ip))).includes(page));
    rmSync(`${dir}/more.yaml`);
    await eventually(
      'the policy gone',
      async () => !(await execText(fixture.cri, id, ask(ip))).includes(page),
    );
    writeFileSync(`${dir}/deny.yaml`, denyAll);
    await removePod(fixture.cri, client);
    await removePod(fixture.cri, pod);
  });

  test('the rules outlive a killed daemon, and go with the pod', async () => {
    const client = await runPod(fixture.cri, { labels: { app: 'client' } });
    const ip = await podIp(fixture.cri, client);
    await fixture.server.kill();
    assert.ok((await rules()).includes(`${ip} : jump egress4-`));
    await fixture.server.start();
    assert.ok((await rules()).includes(`${ip} : jump egress4-`));
    await removePod(fixture.cri, client);
    assert.ok(!(await rules()).includes(ip));
    // Another pod with the same address is another pod.
    const other = await runPod(fixture.cri, { labels: { app: 'other' } });
    assert.doesNotMatch(await rules(), /jump/);
    await removePod(fixture.cri, other);
  });

  test('a pod does not start while its policies cannot be put into the kernel, and starts when they can', async () => {
    const labels = { app: 'client' };
    // A table that a process owns is closed to all others, and goes with the process.
    const owner = spawn('nft', ['-i'], { stdio: ['pipe', 'ignore', 'inherit'] });
    owner.stdin.write('delete table inet amphipod_policy; add table inet amphipod_policy { flags owner; }\n');
    await eventually('the table of the other', async () => (await rules()).includes('flags owner'));
    await assert.rejects(runPod(fixture.cri, { labels }), {
      code: 14,
      message: /put network policy of the pod into the kernel: .*EPERM/,
    });
    assert.deepEqual((await fixture.cri.listPodSandbox({})).items, []);
    owner.kill('SIGKILL');
    await once(owner, 'exit');
    const pod = await runPod(fixture.cri, { labels });
    assert.ok((await rules()).includes(`${await podIp(fixture.cri, pod)} : jump egress4-`));
    await removePod(fixture.cri, pod);
  });
});
