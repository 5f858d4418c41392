import { readFileInRoot } from '@amphipod/linux';
import { CriError } from '../errors.ts';
import { type LinuxContainerSecurityContext, SupplementalGroupsPolicy } from '../gen/api.ts';

export interface ContainerUser {
  uid: number;
  gid: number;
  /** Supplementary groups, the primary one first, no duplicates. */
  groups: number[];
  /** What HOME is unless the image or the pod sets it. */
  home: string;
}

interface PasswdEntry {
  name: string;
  uid: number;
  gid: number;
  home: string;
}
interface GroupEntry {
  name: string;
  gid: number;
  members: string[];
}

/**
 * The user that a container's process runs as, from the pod's settings, the image's USER and the image's own
 * /etc/passwd and /etc/group (read without leaving `rootfs`, field case IMG-22). docs/containers.md has the rules.
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
  const { uid } = entry;
  const home = entry.home || (uid === 0 ? '/root' : '/');
  const groups = new Set([gid]);
  for (const group of security?.supplementalGroups ?? []) groups.add(Number(group));
  // USER user:group in an image names all of its groups, as everywhere.
  if (isWhole) return { uid, gid, groups: [...groups], home };
  if (
    (security?.supplementalGroupsPolicy ?? SupplementalGroupsPolicy.Merge) === SupplementalGroupsPolicy.Merge
  ) {
    for (const { gid: member, members } of groupFile) {
      if (entry.name !== undefined && members.includes(entry.name)) groups.add(member);
    }
  }
  return { uid, gid, groups: [...groups], home };
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
  const [user = '', group, ...rest] = imageUser.split(':');
  if (rest.length > 0)
    throw new CriError('invalid-argument', `image USER ${JSON.stringify(imageUser)}: is not USER[:GROUP]`);
  return [user === '' ? '0' : user, group === '' ? undefined : group, Boolean(group)];
}

type FoundUser = Pick<PasswdEntry, 'uid'> & Partial<PasswdEntry>;

function findUser(passwd: PasswdEntry[], user: string): FoundUser {
  const uid = numericId(user);
  const entry =
    passwd.find(({ name }) => name === user) ??
    passwd.find((line) => uid !== undefined && line.uid === uid) ??
    (uid === undefined ? undefined : { uid });
  if (entry !== undefined) return entry;
  throw new CriError('invalid-argument', `find user ${JSON.stringify(user)}: ${whyNoId(user, 'passwd')}`);
}

function findGroup(groups: GroupEntry[], group: string): number {
  const gid = groups.find(({ name }) => name === group)?.gid ?? numericId(group);
  if (gid === undefined) {
    throw new CriError('invalid-argument', `find group ${JSON.stringify(group)}: ${whyNoId(group, 'group')}`);
  }
  return gid;
}

/** The largest id that Kubernetes and Docker take; above it some programs see negative numbers. */
const maxId = 2 ** 31 - 1;

function numericId(text: string): number | undefined {
  const id = Number(text);
  return /^\d+$/.test(text) && id <= maxId ? id : undefined;
}

function whyNoId(text: string, file: 'passwd' | 'group'): string {
  return /^\d+$/.test(text) ? `above ${maxId}` : `not in the image's /etc/${file}`;
}

function parsePasswd(text: string): PasswdEntry[] {
  return fieldsOf(text).flatMap(([name, , uid, gid, , home = '']) =>
    name && /^\d+$/.test(uid ?? '') && /^\d+$/.test(gid ?? '')
      ? [{ name, uid: Number(uid), gid: Number(gid), home }]
      : [],
  );
}

/** The lines of /etc/group that have a number. */
export function parseGroup(text: string): GroupEntry[] {
  return fieldsOf(text).flatMap(([name, , gid, members]) =>
    name && /^\d+$/.test(gid ?? '')
      ? [{ name, gid: Number(gid), members: (members ?? '').split(',').map((member) => member.trim()) }]
      : [],
  );
}

function fieldsOf(text: string): string[][] {
  return text.split('\n').map((line) => line.trim().split(':'));
}
