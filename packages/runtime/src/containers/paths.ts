import type { DaemonConfig } from '../config.ts';

/** Where things of one container are. */
export interface ContainerPaths {
  /** OCI bundle, below the state directory. */
  bundle: string;
  rootfs: string;
  spec: string;
  pid: string;
  conmonPid: string;
  /** Limits on their way to the OCI runtime. */
  update: string;
  /** Made by conmon when it sees an out-of-memory kill on cgroup version 2. */
  oom: string;
  /** conmon's control pipe. */
  control: string;
  /** conmon's attach socket. */
  attach: string;
  /** Mount points of image volumes and, while it is started, of id-mapped ones. */
  volumes: string;
  /** Writable layer and anonymous volumes, below the persistent root. */
  data: string;
  anonymousVolumes: string;
  upper: string;
  work: string;
}

export function containerPaths(config: DaemonConfig, containerId: string): ContainerPaths {
  const bundle = `${config.state}/containers/${containerId}`;
  const data = `${config.root}/containers/${containerId}`;
  return {
    bundle,
    rootfs: `${bundle}/rootfs`,
    spec: `${bundle}/config.json`,
    pid: `${bundle}/pid`,
    conmonPid: `${bundle}/conmon.pid`,
    update: `${bundle}/update.json`,
    oom: `${bundle}/oom`,
    control: `${bundle}/ctl`,
    attach: `${bundle}/attach`,
    volumes: `${bundle}/volumes`,
    data,
    anonymousVolumes: `${data}/volumes`,
    upper: `${data}/upper`,
    work: `${data}/work`,
  };
}
