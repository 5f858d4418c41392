import type { Platform } from './image.ts';

/** The platform of this machine in the words of image indexes. */
export function hostPlatform(arch: string = process.arch): Platform {
  switch (arch) {
    case 'x64':
      return { os: 'linux', architecture: 'amd64' };
    case 'arm64':
      return { os: 'linux', architecture: 'arm64', variant: 'v8' };
    case 'arm':
      return { os: 'linux', architecture: 'arm', variant: 'v7' };
    case 'ia32':
      return { os: 'linux', architecture: '386' };
    default:
      return { os: 'linux', architecture: arch };
  }
}

/** `linux/arm/v7`. */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return `${os}/${architecture}${variant === undefined || variant === '' ? '' : `/${variant}`}`;
}

/**
 * How well `offered` serves on `wanted`: 0 not at all, more is better. Older ARM variants run on newer machines;
 * an amd64 micro-architecture level (v2, v3) that was not asked for does not count.
 */
export function platformScore(wanted: Platform, offered: Platform): number {
  if (offered.os !== wanted.os || offered.architecture !== wanted.architecture) return 0;
  const want = variantNumber(wanted);
  const offer = variantNumber(offered);
  return offer > want ? 0 : 1 + offer;
}

const defaultVariants: Record<string, number> = { amd64: 1, arm64: 8, arm: 7 };

function variantNumber({ architecture, variant }: Platform): number {
  const number = /^v([0-9]+)/.exec(variant ?? '')?.[1];
  return number === undefined ? (defaultVariants[architecture] ?? 0) : Number(number);
}
