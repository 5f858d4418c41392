/** Name of the profile behind RuntimeDefault, in the kernel and in `aa-status`. */
export const defaultProfileName = 'amphipod-default';

/**
 * What RuntimeDefault allows: all files and the network, but no mounts, no writing to what in /proc and /sys belongs to the
 * machine, no tracing of others. It includes nothing, so that it needs no other files (apparmor.d(5)).
 */
export const defaultProfileText = `profile ${defaultProfileName} flags=(attach_disconnected,mediate_deleted) {
  file,
  network,
  capability,
  umount,

  # From the runtime, which is unconfined unless the distribution has a profile for it, and among containers.
  signal (receive) peer=unconfined,
  signal (receive) peer=runc,
  signal (receive) peer=crun,
  signal (send, receive) peer=${defaultProfileName},
  ptrace (trace, read, tracedby, readby) peer=${defaultProfileName},

  deny mount,

  # Of /proc only a process's own files and some sysctls may be written.
  deny /proc/* w,
  deny /proc/{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9/]*}/** w,
  deny /proc/sys/[^kn]** w,
  deny /proc/sys/kernel/{?,??,[^s][^h][^m]**} w,
  deny /proc/sysrq-trigger rwklx,
  deny /proc/kcore rwklx,
  deny /proc/kmem rwklx,
  deny /proc/mem rwklx,

  deny /sys/[^fdck]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/fs/cg[^r]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,
}
`;
