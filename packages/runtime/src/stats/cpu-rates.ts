interface Sample {
  atNs: bigint;
  usageNs: bigint;
  /** Nanoseconds of CPU per second over the time before the sample; undefined for the first one. */
  nanoCores?: bigint | undefined;
}

/** A rate over less than this says more about the scheduler than about the group. */
const leastNs = 1_000_000_000n;

/** How fast control groups use CPU time, from the readings that callers ask for anyway. */
export class CpuRates {
  readonly #samples = new Map<string, Sample>();

  /**
   * Notes a reading of a group. @param atNs any clock that rises, the same for all readings
   * @returns nanoseconds of CPU per second since an earlier reading that is at least a second old; undefined without one
   */
  note(cgroupPath: string, { atNs, usageNs }: { atNs: bigint; usageNs: bigint }): bigint | undefined {
    const before = this.#samples.get(cgroupPath);
    if (before === undefined || usageNs < before.usageNs) {
      this.#samples.set(cgroupPath, { atNs, usageNs });
      return undefined;
    }
    if (atNs - before.atNs < leastNs) return before.nanoCores;
    const nanoCores = ((usageNs - before.usageNs) * 1_000_000_000n) / (atNs - before.atNs);
    this.#samples.set(cgroupPath, { atNs, usageNs, nanoCores });
    return nanoCores;
  }

  forget(cgroupPath: string): void {
    this.#samples.delete(cgroupPath);
  }
}
