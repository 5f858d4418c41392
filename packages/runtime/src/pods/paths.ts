import type { DaemonConfig } from '../config.ts';

/** Where things of one pod sandbox are, below the state directory. */
export interface SandboxPaths {
  dir: string;
  /** Pinned namespaces. */
  net: string;
  ipc: string;
  uts: string;
  /** Only where the pod has a user namespace of its own. */
  user: string;
  shm: string;
  resolvConf: string;
  hostname: string;
  hosts: string;
  /** Bundle of the init that holds the PID namespace. */
  init: string;
}

export function sandboxPaths(config: DaemonConfig, sandboxId: string): SandboxPaths {
  const dir = `${config.state}/sandboxes/${sandboxId}`;
  return {
    dir,
    net: `${dir}/net`,
    ipc: `${dir}/ipc`,
    uts: `${dir}/uts`,
    user: `${dir}/user`,
    shm: `${dir}/shm`,
    resolvConf: `${dir}/resolv.conf`,
    hostname: `${dir}/hostname`,
    hosts: `${dir}/hosts`,
    init: `${dir}/init`,
  };
}
