import { statSync } from 'node:fs';
import { lookAtSocketPeer } from '@amphipod/linux';

/** What must be one and the same for paths, privileges and "the host's network" to mean the same to caller and server. */
const places = ['ns/net', 'ns/mnt', 'ns/user', 'root'] as const;

/** Says what keeps a caller from being served; undefined when nothing does. */
export type CallerCheck = (socketFd: number) => string | undefined;

/** Compares callers with this process as it is now, with its thread at home. */
export function createCallerCheck(): CallerCheck {
  const own = places.map((place) => identityOf(`/proc/self/${place}`));
  return (socketFd) => {
    const answer = lookAtSocketPeer(socketFd, ({ uid, pid }) => {
      if (uid !== 0) return `caller has user id ${uid}`;
      if (pid === 0) return 'caller is in another PID namespace';
      const other = places.find((place, i) => identityOf(`/proc/${pid}/${place}`) !== own[i]);
      return other === undefined ? '' : `caller has another ${other}`;
    });
    if (answer === undefined) return 'caller is gone';
    return answer === '' ? undefined : answer;
  };
}

function identityOf(path: string): string {
  const { dev, ino } = statSync(path);
  return `${dev}:${ino}`;
}
