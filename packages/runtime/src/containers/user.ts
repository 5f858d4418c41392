import { readFileInRoot } from '@amphipod/linux';
import { CriError } from '../errors.ts';
import { type LinuxContainerSecurityContext, SupplementalGroupsPolicy } from '../gen/api.ts';

export interface ContainerUser {
  uid: number;
  gid: number;
  /** Supplementary groups, the primary one first, no duplicates. */
  groups: number[];
}

interface PasswdEntry {
  name: string;
  uid: number;
  gid: number;
}
interface GroupEntry {
  name: string;
  gid: number;
  members: string[];
}

/**
 * The user that a container's process runs as, from the pod's settings, the image's USER and the image's own
 * /etc/passwd and /etc/group (read without leaving `rootfs`, field case IMG-22).
 * @throws CriError invalid-argument for a name that the image does not know: it never becomes root (USR-01)
 */
export function resolveUser(
  rootfs: string,
  imageUser: string,
  security: LinuxContainerSecurityContext | undefined,
): ContainerUser {
  const passwd = parsePasswd(readFileInRoot(rootfs, '/etc/passwd') ?? '');
  const groupFile = parseGroup(readFileInRoot(rootfs, '/etc/group') ?? '');
  const [userText, groupText, isWhole] = wantedUser(imageUser, security);

  const entry = findUser(passwd, userText);
  const gid = groupText === undefined ? (entry.gid ?? 0) : findGroup(groupFile, groupText);
  const groups = new Set([gid]);
  for (const group of security?.supplementalGroups ?? []) groups.add(Number(group));
  // USER user:group in an image names all of its groups, as everywhere.
  if (isWhole) return { uid: entry.uid, gid, groups: [...groups] };
  if (
    (security?.supplementalGroupsPolicy ?? SupplementalGroupsPolicy.Merge) === SupplementalGroupsPolicy.Merge
  ) {
    for (const { gid: member, members } of groupFile) {
      if (entry.name !== undefined && members.includes(entry.name)) groups.add(member);
    }
  }
  return { uid: entry.uid, gid, groups: [...groups] };
}

function wantedUser(
  imageUser: string,
  security: LinuxContainerSecurityContext | undefined,
): [user: string, group: string | undefined, isWhole: boolean] {
  const { runAsUser, runAsUsername, runAsGroup } = security ?? {};
  const named = runAsUser !== undefined ? String(runAsUser.value) : runAsUsername || undefined;
  if (named === undefined && runAsGroup !== undefined) {
    throw new CriError('invalid-argument', 'run_as_group: needs run_as_user or run_as_username beside it');
  }
  if (named !== undefined) {
    return [named, runAsGroup === undefined ? undefined : String(runAsGroup.value), false];
  }
  const [user = '', group] = imageUser.split(':', 2);
  return [user === '' ? '0' : user, group === '' ? undefined : group, Boolean(group)];
}

function findUser(passwd: PasswdEntry[], user: string): { uid: number; gid?: number; name?: string } {
  const entry = passwd.find(({ name }) => name === user) ?? passwd.find(({ uid }) => String(uid) === user);
  if (entry !== undefined) return entry;
  const uid = numericId(user);
  if (uid === undefined) {
    throw new CriError(
      'invalid-argument',
      `find user ${JSON.stringify(user)}: not in the image's /etc/passwd`,
    );
  }
  return { uid };
}

function findGroup(groups: GroupEntry[], group: string): number {
  const gid = groups.find(({ name }) => name === group)?.gid ?? numericId(group);
  if (gid === undefined) {
    throw new CriError(
      'invalid-argument',
      `find group ${JSON.stringify(group)}: not in the image's /etc/group`,
    );
  }
  return gid;
}

function numericId(text: string): number | undefined {
  const id = Number(text);
  return /^\d+$/.test(text) && id < 2 ** 32 - 1 ? id : undefined;
}

function parsePasswd(text: string): PasswdEntry[] {
  return fieldsOf(text).flatMap(([name, , uid, gid]) =>
    name && /^\d+$/.test(uid ?? '') && /^\d+$/.test(gid ?? '')
      ? [{ name, uid: Number(uid), gid: Number(gid) }]
      : [],
  );
}

function parseGroup(text: string): GroupEntry[] {
  return fieldsOf(text).flatMap(([name, , gid, members]) =>
    name && /^\d+$/.test(gid ?? '')
      ? [{ name, gid: Number(gid), members: (members ?? '').split(',').map((member) => member.trim()) }]
      : [],
  );
}

function fieldsOf(text: string): string[][] {
  return text.split('\n').map((line) => line.trim().split(':'));
}
