/** Whether a kernel is as new as `wanted`, "5.12"; what follows the minor version counts nothing. @param kernel `uname -r` */
export function isKernelAtLeast(kernel: string, wanted: string): boolean {
  const [[major = 0, minor = 0], [wantedMajor = 0, wantedMinor = 0]] = [kernel, wanted].map((text) =>
    text.split('.').map((part) => Number.parseInt(part, 10)),
  ) as [number[], number[]];
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}
