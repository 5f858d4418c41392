const offsetNs = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();

/** Nanoseconds since 1970, rising even within one millisecond. */
export function nowNs(): bigint {
  const exact = process.hrtime.bigint() + offsetNs;
  const wall = BigInt(Date.now()) * 1_000_000n;
  // The wall clock was set meanwhile: it is right, the running count is not.
  return exact - wall > 1_000_000_000n || wall - exact > 1_000_000_000n ? wall : exact;
}
