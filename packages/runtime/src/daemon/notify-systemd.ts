import { spawn } from 'node:child_process';
import type { Log } from '../log.ts';

/** Tells systemd that the daemon serves (sd_notify(3), READY=1), where a unit of `Type=notify` asks for it. */
export function notifySystemd(log: Log): void {
  if (process.env.NOTIFY_SOCKET === undefined) return;
  const child = spawn('systemd-notify', ['--ready'], { stdio: 'ignore' });
  child.on('error', (error) => log.warn(`systemd-notify: ${error.message}`));
}
