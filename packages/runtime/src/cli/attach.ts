import { defineCommand } from './command.ts';
import { runningContainer } from './exec.ts';
import { LocalTerminal } from './local-terminal.ts';
import { remoteSession } from './remote-session.ts';

export const command = defineCommand({
  name: 'attach',
  summary: 'Show what a running container writes from now on, and pass our input on to it',
  operands: 'CONTAINER',
  arity: [1, 1],
  options: {
    interactive: { type: 'boolean', short: 'i', help: 'pass our input on to the container' },
    tty: { type: 'boolean', short: 't', help: 'the container has a terminal: use ours for it' },
  },
  details: `Ends with the container. What a container does when its input ends was decided when it was made (CRI's stdin_once).

Examples:
  amphipod attach web
  amphipod attach -it shell`,
  async run([reference = ''], { interactive = false, tty = false }, { client, stdout, stderr }) {
    const cri = await client();
    const containerId = await runningContainer(cri, reference);
    const { url } = await cri.runtime.attach({
      containerId,
      stdin: interactive,
      tty,
      stdout: true,
      stderr: !tty,
    });
    // Ours again when the session has ended: hence the await below.
    using terminal = tty ? LocalTerminal.open(process.stdin, process.stdout) : undefined;
    return await remoteSession(url, {
      ...(interactive && { stdin: process.stdin }),
      stdout,
      ...(!tty && { stderr }),
      terminal,
      tty,
    });
  },
});
