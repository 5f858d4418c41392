import { defineCommand } from './command.ts';
import { findRunningContainer } from './find-container.ts';
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
  async run([reference = ''], { interactive = false, tty = false }, context) {
    const cri = await context.client();
    const containerId = await findRunningContainer(cri, reference);
    const wants = { stdin: interactive, stdout: true, stderr: !tty, tty };
    const { url } = await cri.runtime.attach({ containerId, ...wants });
    return await remoteSession(url, wants, context);
  },
});
