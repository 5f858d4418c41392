import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** `systemctl stop UNIT`; one that is not there is fine. Only for the slices of pods without a cgroup_parent. */
export async function stopUnit(unit: string): Promise<void> {
  const child = spawn('systemctl', ['stop', '--quiet', unit], { stdio: 'ignore' });
  await once(child, 'exit');
}
