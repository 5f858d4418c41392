import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { after, before, describe, it } from 'node:test';
import { LinuxContainerSecurityContext, SupplementalGroupsPolicy } from '../gen/api.ts';
import { resolveUser } from './user.ts';

const security = (fields: Parameters<typeof LinuxContainerSecurityContext.fromPartial>[0]) =>
  LinuxContainerSecurityContext.fromPartial(fields);

describe('resolveUser', () => {
  let rootfs: string;
  before(() => {
    rootfs = mkdtempSync(`${tmpdir()}/user-`);
    mkdirSync(`${rootfs}/etc`);
    writeFileSync(
      `${rootfs}/etc/passwd`,
      'root:x:0:0::/root:/bin/sh\nweb:x:33:34::/:\ndefault-user:x:1000:1000::/:\nbroken\n',
    );
    writeFileSync(
      `${rootfs}/etc/group`,
      'root:x:0:\nweb:x:34:\nstaff:x:50:web,other\ngroup-defined-in-image:x:50000:default-user\nbad:x:y:web\n',
    );
  });
  after(() => rmSync(rootfs, { recursive: true }));

  const cases: [string, string, Parameters<typeof security>[0], number, number, number[]][] = [
    ['no user is root', '', {}, 0, 0, [0]],
    ['name of the image', 'web', {}, 33, 34, [34, 50]],
    ['name and group of the image', 'web:staff', {}, 33, 50, [50]],
    ['USER user:group names all groups', '1000:7', {}, 1000, 7, [7]],
    ['uid of the image without a passwd line', '4321', {}, 4321, 0, [0]],
    ['uid:gid of the image', '1003:1004', {}, 1003, 1004, [1004]],
    ['uid of the image with a passwd line', '33', {}, 33, 34, [34, 50]],
    ['run_as_user wins over the image', 'web', { runAsUser: { value: 1001n } }, 1001, 0, [0]],
    ['run_as_username', '', { runAsUsername: 'web' }, 33, 34, [34, 50]],
    ['run_as_group', '', { runAsUser: { value: 1001n }, runAsGroup: { value: 1002n } }, 1001, 1002, [1002]],
    [
      'Merge adds the groups of the image',
      '1000',
      { supplementalGroups: [1234n], supplementalGroupsPolicy: SupplementalGroupsPolicy.Merge },
      ...[1000, 1000],
      [1000, 1234, 50000],
    ] as [string, string, Parameters<typeof security>[0], number, number, number[]],
    [
      'Strict does not',
      '1000',
      { supplementalGroups: [1234n], supplementalGroupsPolicy: SupplementalGroupsPolicy.Strict },
      ...[1000, 1000],
      [1000, 1234],
    ] as [string, string, Parameters<typeof security>[0], number, number, number[]],
  ];
  for (const [name, imageUser, fields, uid, gid, groups] of cases) {
    it(name, () => {
      const { home: _, ...user } = resolveUser(rootfs, imageUser, security(fields));
      assert.deepEqual(user, { uid, gid, groups });
    });
  }

  // passwd and group as in the case: web is its "app", staff its "grp".
  const forms: [user: string, uid: number, gid: number][] = [
    ['web:0', 33, 0],
    ['33:staff', 33, 50],
    [':7', 0, 7],
    ['web:', 33, 34],
    ['033', 33, 34],
    ['0:web', 0, 34],
    ['2147483647', 2147483647, 0],
  ];
  for (const [user, uid, gid] of forms) {
    it(`USER ${JSON.stringify(user)} is ${uid}:${gid} (USR-01)`, () => {
      const found = resolveUser(rootfs, user, undefined);
      assert.deepEqual([found.uid, found.gid], [uid, gid]);
    });
  }
  for (const user of ' web|WEB|ghost|web:ghost|4294967295|2147483648|-1|1e3|33:34:1|33:2147483648'.split(
    '|',
  )) {
    it(`USER ${JSON.stringify(user)} is refused (USR-01)`, () => {
      assert.throws(() => resolveUser(rootfs, user, undefined), { code: 'invalid-argument' });
    });
  }
  it('needs neither /etc/passwd nor /etc (USR-02)', () => {
    const empty = mkdtempSync(`${tmpdir()}/user-`);
    for (const [user, gid] of [
      ['1000:1000', 1000],
      ['1000', 0],
    ] as const) {
      const groups = [gid];
      assert.deepEqual(resolveUser(empty, user, undefined), { uid: 1000, gid, groups, home: '/' });
    }
    assert.throws(() => resolveUser(empty, 'web', undefined), { code: 'invalid-argument' });
    rmSync(empty, { recursive: true });
  });
  it('knows the home of the user (USR-06)', () => {
    const home = (user: string) => resolveUser(rootfs, user, undefined).home;
    assert.deepEqual(['', '0', 'root', 'web', '4242'].map(home), ['/root', '/root', '/root', '/', '/']);
  });
  it('refuses a name that the image does not know (USR-01)', () => {
    assert.throws(
      () => resolveUser(rootfs, 'nginx', undefined),
      /find user "nginx": not in the image's \/etc\/passwd/,
    );
    assert.throws(() => resolveUser(rootfs, 'web:nobody', undefined), /find group "nobody"/);
  });
  it('refuses a group without a user', () => {
    assert.throws(() => resolveUser(rootfs, '', security({ runAsGroup: { value: 5n } })), {
      code: 'invalid-argument',
    });
  });
  it('reads /etc/passwd inside the root even through an absolute link (IMG-22)', () => {
    const other = mkdtempSync(`${tmpdir()}/user-`);
    mkdirSync(`${other}/etc`);
    mkdirSync(`${other}/data`);
    writeFileSync(`${other}/data/passwd`, 'inside:x:7:8::/:\n');
    symlinkSync('/data/passwd', `${other}/etc/passwd`);
    assert.deepEqual(resolveUser(other, 'inside', undefined), { uid: 7, gid: 8, groups: [8], home: '/' });
    rmSync(other, { recursive: true });
  });
});
