import { SyscallError, setXattr, setXattrAt } from '@amphipod/linux';
import { ImageError } from '../errors.ts';
import { displayPath, type TarEntry } from '../tar/tar-entry.ts';

const EPERM = 1;
const EOPNOTSUPP = 95;

/**
 * Extended attributes of a new file, by descriptor or by name in a directory. Labels are the runtime's business and
 * overlay's own attributes ours, so those of the image are passed over; what the file system will not take is warned about.
 * @throws ImageError unpack-failed
 */
export function applyXattrs(
  { path, xattrs }: TarEntry,
  file: { fd: number } | { dirFd: number; name: string },
  onWarning: (text: string) => void,
): void {
  for (const xattr of xattrs) {
    if (!isWanted(xattr.name)) continue;
    const result = 'fd' in file ? setXattr(file.fd, xattr) : setXattrAt(file.dirFd, file.name, xattr);
    if (result >= 0) continue;
    const cause = new SyscallError('setxattr', -result);
    const what = `set attribute ${xattr.name} of ${displayPath(path)}`;
    if (result === -EOPNOTSUPP || result === -EPERM) onWarning(`${what}: ${cause.code}; left out`);
    else throw new ImageError('unpack-failed', `${what}: ${cause.code}`, { cause });
  }
}

function isWanted(name: string): boolean {
  if (name.startsWith('trusted.overlay.') || name.startsWith('user.overlay.')) return false;
  return !name.startsWith('security.') || name === 'security.capability';
}
