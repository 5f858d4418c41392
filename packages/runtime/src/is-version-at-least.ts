/** Whether a version is as new as `wanted`, "5.12"; what follows the minor number counts nothing. @param version `uname -r`, "1.21" */
export function isVersionAtLeast(version: string, wanted: string): boolean {
  const [[major = 0, minor = 0], [wantedMajor = 0, wantedMinor = 0]] = [version, wanted].map((text) =>
    text.split('.').map((part) => Number.parseInt(part, 10)),
  ) as [number[], number[]];
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}
