import { randomInt } from 'node:crypto';

const qualities = ['brisk', 'calm', 'clear', 'deep', 'fleet', 'glassy', 'keen', 'lively', 'mild', 'nimble'];
const moreQualities = [
  'pale',
  'quick',
  'quiet',
  'silver',
  'sleek',
  'spry',
  'swift',
  'tidal',
  'tiny',
  'vivid',
];
const crustaceans = [
  'barnacle',
  'beachflea',
  'copepod',
  'crab',
  'crayfish',
  'daphnia',
  'isopod',
  'krill',
  'limpet',
];
const more = [
  'lobster',
  'mysid',
  'ostracod',
  'prawn',
  'sandhopper',
  'scud',
  'shrimp',
  'skeleton',
  'triops',
  'woodlouse',
];

/** A name for a container that got none: `swift-copepod-417`. */
export function generatedName(): string {
  return `${pick([...qualities, ...moreQualities])}-${pick([...crustaceans, ...more])}-${randomInt(100, 1000)}`;
}

function pick(words: string[]): string {
  return words[randomInt(words.length)]!;
}
