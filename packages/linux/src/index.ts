// For applications.
export {
  type CgroupCpuDetails,
  type CgroupDeviceIo,
  type CgroupHugePages,
  type CgroupMemoryDetails,
  cgroupCpuDetails,
  cgroupDeviceIo,
  cgroupHugePages,
  cgroupMemoryDetails,
} from './cgroup-details.ts';
export { cgroupCountsSwap, cgroupRestore, cgroupSettings, cgroupWrite } from './cgroup-settings.ts';
export {
  type CgroupCpuUsage,
  type CgroupMemoryUsage,
  cgroupCpuUsage,
  cgroupMemoryUsage,
  cgroupPressure,
  cgroupTasks,
  type Pressure,
  type PressureLine,
} from './cgroup-usage.ts';
export {
  type CgroupLayout,
  cgroupCreate,
  cgroupDir,
  cgroupDirs,
  cgroupKill,
  cgroupOomKills,
  cgroupPids,
  cgroupProcesses,
  cgroupRemove,
  cgroupRemoveEmpty,
  detectCgroups,
} from './cgroups.ts';
export { CodedError, errnoInfo, isCode, SyscallError } from './errors.ts';
export { FileLock } from './file-lock.ts';
// For the other packages of the project.
export { type IcmpMessage, IcmpSocket, type IcmpSocketOptions } from './icmp-socket.ts';
export { type IdMappedMountOptions, mountIdMapped } from './id-mapped-mounts.ts';
export { readKernelFile } from './kernel-file.ts';
export { AT_FDCWD, libcAsync } from './libc.ts';
export { type MountInfo, type MountOptions, MS, mount, mountInfo, unmount, unmountAsync } from './mounts.ts';
export {
  createPinnedNamespaces,
  inNamespaces,
  inNetns,
  isNamespace,
  type NamespaceKind,
  type NamespacePins,
  namespaceId,
  type SyncFunction,
  setHostname,
  sysctlGet,
  sysctlPath,
  sysctlSet,
  threadNetnsIds,
  unpinNamespace,
} from './namespaces.ts';
export { NullDevices } from './null-devices.ts';
export {
  type BpfInstruction,
  isNetworkDown,
  type Packet,
  PacketSocket,
  type PacketSocketOptions,
} from './packet-socket.ts';
export {
  isPciAddress,
  listPciDevices,
  type PciDevice,
  type PciPlace,
  pciBindDriver,
  pciDriver,
  pciNetdevs,
  pciRebind,
  pfNetdev,
  readPciDevice,
  readPciPlace,
  setVfCount,
  vfAddresses,
} from './pci.ts';
export { peerHungUp } from './peer-hung-up.ts';
export {
  findProcess,
  isAlive,
  killQuietly,
  type ProcessId,
  processTree,
  signalProcess,
} from './processes.ts';
export { ConsoleSocket, readAvailable, resizeTerminal, type TerminalSize, terminalStream } from './pty.ts';
export { rawTerminal } from './raw-terminal.ts';
export { readFileInRoot } from './read-file-in-root.ts';
export { realPathBeneath, realPathInRoot } from './real-path.ts';
export { type ReplaceFileOptions, replaceFile } from './replace-file.ts';
export {
  chmodAt,
  chownAt,
  createFileAt,
  linkAt,
  lstatAt,
  mkdirAt,
  mknodAt,
  openBeneath,
  openDirInRoot,
  openRootDir,
  pathAt,
  removeEmptyDirAt,
  removeTreeAt,
  setFileAttributes,
  symlinkAt,
  utimesAt,
} from './rooted.ts';
export { connectSeqpacket } from './seqpacket.ts';
export { setSendBuffer } from './socket-buffers.ts';
export { inNetnsOfSocket } from './socket-netns.ts';
export { lookAtSocketPeer, type SocketPeer } from './socket-peer.ts';
export { NETLINK, NetlinkSocket } from './sockets.ts';
export { adoptChild, pipe, type SpawnedProcess, type SpawnOptions, spawnProcess } from './spawn.ts';
export { becomeSubreaper } from './subreaper.ts';
export { type TapOptions, tapCreate } from './tap.ts';
export { tcpSocketIn } from './tcp.ts';
export { UndoStack } from './undo-stack.ts';
export { unsentBytes } from './unsent-bytes.ts';
export {
  createPinnedUserNamespace,
  type IdMapping,
  type UserNamespaceMaps,
  type UserNamespacePins,
} from './user-namespace.ts';
export { supportsX32 } from './x32.ts';
export { getXattr, listXattrs, setXattr, setXattrAt, type Xattr } from './xattrs.ts';
