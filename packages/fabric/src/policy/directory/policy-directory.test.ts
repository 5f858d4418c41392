import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { parseIp } from '@amphipod/netlink';
import type { FabricError } from '../../errors.ts';
import { type Resource, resourceKey } from '../documents/resources.ts';
import { NodeWorld } from './node-world.ts';
import { PolicyDirectory, readPolicyFiles } from './policy-directory.ts';

const policy = (name: string, spec = '{podSelector: {}}') =>
  `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: ${name}}\nspec: ${spec}\n`;

describe('a directory of policies', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'policies-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  function follow() {
    const there = new Map<string, Resource>();
    const problems: FabricError[] = [];
    const changed = Promise.withResolvers<void>();
    const directory = new PolicyDirectory({
      dir,
      sink: {
        put: (resource) => there.set(resource.origin.name, resource),
        remove: (key) => there.delete(key.split('/').at(-1)!),
      },
      onChange: () => changed.resolve(),
      onProblem: (problem) => problems.push(problem),
    });
    return { directory, names: () => [...there.keys()].toSorted(), problems, changed: changed.promise };
  }

  it('tells of what comes, changes and goes, by itself', async () => {
    writeFileSync(join(dir, 'a.yaml'), policy('a'));
    writeFileSync(join(dir, 'notes.txt'), 'nothing');
    const { directory, names, changed } = follow();
    using _directory = directory;
    assert.deepEqual(names(), ['a']);
    writeFileSync(
      join(dir, 'b.json'),
      '{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "b"}}',
    );
    await changed;
    assert.deepEqual(names(), ['a', 'b']);
    unlinkSync(join(dir, 'a.yaml'));
    assert.equal(directory.scan(), true);
    assert.deepEqual(names(), ['b']);
    assert.equal(directory.scan(), false);
  });

  it('keeps in force what a file said before a mistake came into it, and names the mistake once (POL-05)', () => {
    const file = join(dir, 'a.yaml');
    writeFileSync(file, `${policy('a')}---\n${policy('b')}`);
    const { directory, names, problems } = follow();
    using _directory = directory;
    writeFileSync(
      file,
      `${policy('a', '{podSelector: {}, ingress: [{ports: [{port: 0}]}]}')}---\n${policy('c')}`,
    );
    directory.scan();
    directory.scan();
    assert.deepEqual(names(), ['a', 'b', 'c']);
    assert.deepEqual(
      problems.map(({ message }) => message),
      [
        `read policy ${JSON.stringify(file)} document 1: spec.ingress[0].ports[0].port: 0: must be a whole number from 1 to 65535`,
      ],
    );
    writeFileSync(file, policy('c'));
    directory.scan();
    assert.deepEqual(names(), ['c']);
  });

  it('says which directory or file cannot be read', () => {
    const missing = join(dir, 'missing');
    assert.throws(
      () =>
        new PolicyDirectory({ dir: missing, sink: { put() {}, remove() {} }, onChange() {}, onProblem() {} }),
      {
        code: 'invalid-config',
        message: new RegExp(`^read policies "${missing}": ENOENT`),
      },
    );
    const { problems } = readPolicyFiles([dir]);
    assert.match(problems[0]!.message, /EISDIR/);
  });
});

describe('the world of a node', () => {
  it('has the runtime’s pods, with what documents add, and forgets an old attempt only once', () => {
    const node = new NodeWorld();
    const [running] = [{ id: 's1', namespace: '', name: 'web', labels: { app: 'web' }, ips: ['10.0.0.1'] }];
    const pod = () => node.world.itemsAt(parseIp('10.0.0.1'))[0];
    node.podStarted(running!);
    assert.equal(pod()?.isLocal, true);
    assert.equal(pod()?.labels.get('app'), 'web');
    const text =
      'apiVersion: v1\nkind: Pod\nmetadata: {name: web, labels: {app: other}}\nspec: {containers: [{ports: [{name: http, containerPort: 80}]}]}\n';
    const dir = mkdtempSync(join(tmpdir(), 'policies-'));
    writeFileSync(join(dir, 'pod.yaml'), text);
    for (const resource of readPolicyFiles([join(dir, 'pod.yaml')]).resources) node.put(resource);
    rmSync(dir, { recursive: true });
    assert.equal(pod()?.labels.get('app'), 'other');
    assert.equal(pod()?.ports.length, 1);
    node.podStarted({ ...running!, id: 's2' });
    node.podStopped(running!);
    assert.equal(pod()?.isLocal, true);
    node.podStopped({ ...running!, id: 's2' });
    assert.equal(pod(), undefined);
    node.remove(resourceKey({ kind: 'Pod', group: 'core', namespace: 'default', name: 'web' }));
    assert.deepEqual([...node.world.items], []);
  });
});
