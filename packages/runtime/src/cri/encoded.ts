import type { Table } from '../store/store.ts';

/** An answer that is in its form for the wire already. */
export class Encoded<Response> {
  /** Only says what the bytes are. */
  declare readonly message: Response;
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
}

/**
 * Keeps the encoded list item of every row until the row changes, and the whole list until any does. The kubelet asks for
 * both lists every second, and mostly nothing has changed.
 */
export class EncodedRows<Row extends { id: string; name: string; readonly config: unknown }> {
  readonly #encodeItem: (row: Row) => Uint8Array;
  readonly #items = new WeakMap<Row, { revision: number; bytes: Buffer }>();
  readonly #lists = new WeakMap<Table<Row['config'], Row>, { revision: number; bytes: Buffer }>();

  /** @param encodeItem one item of the list, without tag and length */
  constructor(encodeItem: (row: Row) => Uint8Array) {
    this.#encodeItem = encodeItem;
  }

  /** A message whose field 1 repeats the items of `rows`. */
  list(table: Table<Row['config'], Row>, rows: Row[]): Buffer {
    return Buffer.concat(rows.map((row) => this.#item(table, row)));
  }

  /** The same for all rows. @param rows called when something has changed since the last time */
  all(table: Table<Row['config'], Row>, rows: () => Row[]): Buffer {
    const { revision } = table;
    const known = this.#lists.get(table);
    if (known?.revision === revision) return known.bytes;
    const bytes = this.list(table, rows());
    this.#lists.set(table, { revision, bytes });
    return bytes;
  }

  #item(table: Table<Row['config'], Row>, row: Row): Buffer {
    const revision = table.revisionOf(row);
    const known = this.#items.get(row);
    if (known?.revision === revision) return known.bytes;
    const bytes = fieldOne(this.#encodeItem(row));
    this.#items.set(row, { revision, bytes });
    return bytes;
  }
}

/** Field 1 of wire type 2 (length-delimited): tag, length, content. */
export function fieldOne(content: Uint8Array): Buffer {
  const head = [0x0a];
  let length = content.length;
  for (; length > 0x7f; length = Math.floor(length / 128)) head.push((length & 0x7f) | 0x80);
  head.push(length);
  return Buffer.concat([Buffer.from(head), content]);
}
