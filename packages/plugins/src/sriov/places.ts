/** Where the plugin looks and keeps what it knows; others in tests. */
export interface Places {
  /** `/sys` */
  sysfs: string;
  /** `/var/lib/cni/sriov`, that of the reference's sriov-cni. */
  stateDir: string;
}

export const defaultPlaces: Places = { sysfs: '/sys', stateDir: '/var/lib/cni/sriov' };
