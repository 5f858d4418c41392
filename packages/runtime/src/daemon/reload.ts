import type { DaemonConfig } from '../config.ts';
import { errorText } from '../errors.ts';
import type { Log } from '../log.ts';
import { type DaemonFlags, type ReadConfig, readDaemonConfig } from './config/read-config.ts';
import { fields, keyOf, settings } from './config/settings.ts';

/** What came of reading the configuration again. */
export interface ReloadOutcome {
  /** RFC 3339. */
  at: string;
  /** Keys that hold their new value now. */
  changed: string[];
  /** Keys that differ and are taken up at the next start. */
  needsRestart: string[];
  /** The configuration has a mistake: nothing was changed. */
  error?: string;
}

/** The configuration of the running daemon, and what is done about its files at SIGHUP. */
export class LiveConfig {
  readonly config: DaemonConfig;
  readonly #flags: DaemonFlags;
  #read: ReadConfig;
  #last: ReloadOutcome | undefined;

  constructor(flags: DaemonFlags) {
    this.#flags = flags;
    this.#read = readDaemonConfig(flags);
    this.config = { ...this.#read.config };
  }

  /** Of the last time that somebody asked for it. */
  get lastReload(): ReloadOutcome | undefined {
    return this.#last;
  }

  get files(): readonly string[] {
    return this.#read.files;
  }

  /** Takes up what a running daemon can; all of it or, after a mistake, nothing. */
  reload(): ReloadOutcome {
    const outcome: ReloadOutcome = { at: new Date().toISOString(), changed: [], needsRestart: [] };
    this.#last = outcome;
    try {
      this.#read = readDaemonConfig(this.#flags);
    } catch (error) {
      outcome.error = errorText(error);
      return outcome;
    }
    for (const field of fields) {
      const [before, now] = [this.config[field], this.#read.config[field]];
      if (JSON.stringify(before) === JSON.stringify(now)) continue;
      if (settings[field].isReloadable) {
        Object.assign(this.config, { [field]: now });
        outcome.changed.push(keyOf(field));
      } else outcome.needsRestart.push(keyOf(field));
    }
    return outcome;
  }
}

/** Reads the configuration again at each SIGHUP. */
export function reloadAtHangup(live: LiveConfig, log: Log): Disposable {
  const reload = () => {
    const { changed, needsRestart, error } = live.reload();
    if (error !== undefined) {
      log.error(`reload: ${error}`);
      return;
    }
    log.setLevel(live.config.logLevel);
    log.info('reloaded', { changed: changed.join(' '), needsRestart: needsRestart.join(' ') });
  };
  process.on('SIGHUP', reload);
  return { [Symbol.dispose]: () => process.off('SIGHUP', reload) };
}
