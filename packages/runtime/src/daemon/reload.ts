import type { DaemonConfig } from '../config.ts';
import { errorText } from '../errors.ts';
import type { Log } from '../log.ts';
import { type DaemonFlags, type ReadConfig, readDaemonConfig } from './config/read-config.ts';
import { keyOf } from './config/setting.ts';
import { fields, settings } from './config/settings.ts';

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

  /**
   * Takes up what a running daemon can; all of it or, after a mistake, nothing.
   * @param apply gets the settings that are to hold; what it throws is a mistake in them
   */
  reload(apply: (config: DaemonConfig) => void): ReloadOutcome {
    const outcome: ReloadOutcome = { at: new Date().toISOString(), changed: [], needsRestart: [] };
    this.#last = outcome;
    try {
      const read = readDaemonConfig(this.#flags);
      const differing = fields.filter(
        (field) => JSON.stringify(this.config[field]) !== JSON.stringify(read.config[field]),
      );
      const changed = differing.filter((field) => settings[field].isReloadable);
      const next = Object.fromEntries(changed.map((field) => [field, read.config[field]]));
      apply({ ...this.config, ...next });
      this.#read = read;
      Object.assign(this.config, next);
      outcome.changed = changed.map(keyOf);
      outcome.needsRestart = differing.filter((field) => !changed.includes(field)).map(keyOf);
    } catch (error) {
      outcome.error = errorText(error);
    }
    return outcome;
  }
}

/** Reads the configuration again at each SIGHUP. @param apply as in {@link LiveConfig.reload} */
export function reloadAtHangup(
  live: LiveConfig,
  log: Log,
  apply: (config: DaemonConfig) => void,
): Disposable {
  const reload = () => {
    const { changed, needsRestart, error } = live.reload(apply);
    if (error === undefined)
      log.info('reloaded', { changed: changed.join(' '), needsRestart: needsRestart.join(' ') });
    else log.error(`reload: ${error}`);
  };
  process.on('SIGHUP', reload);
  return { [Symbol.dispose]: () => process.off('SIGHUP', reload) };
}
