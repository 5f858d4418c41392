import type { AttributeReader, MessageWriter } from '../attributes.ts';
import { malformed } from '../errors.ts';
import { NFTA_DATA, NFTA_VERDICT, verdictCodes } from './constants.ts';
import type { NftVerdict } from './expression-types.ts';

/** A value in the form that set elements, comparisons and immediates carry it. */
export function writeValue(writer: MessageWriter, type: number, value: Uint8Array): void {
  writer.nested(type, () => writer.bytesOf(NFTA_DATA.VALUE, value));
}

export function writeVerdict(writer: MessageWriter, type: number, verdict: NftVerdict): void {
  writer.nested(type, () =>
    writer.nested(NFTA_DATA.VERDICT, () => {
      writer.u32be(NFTA_VERDICT.CODE, verdictCodes[verdict.verdict]);
      if ('chain' in verdict) writer.string(NFTA_VERDICT.CHAIN, verdict.chain);
    }),
  );
}

/** A copy of the value in a data attribute, or the verdict there. @throws NetlinkError EPROTO */
export function readData(attrs: AttributeReader): Buffer | NftVerdict {
  const data = attrs.nested();
  while (data.next()) {
    if (data.type === NFTA_DATA.VALUE) return Buffer.from(data.bytes());
    if (data.type === NFTA_DATA.VERDICT) return readVerdict(data.nested());
  }
  throw malformed('nftables data attribute without a value');
}

/** As {@link readData} where no verdict can be. */
export function readValue(attrs: AttributeReader): Buffer {
  const data = readData(attrs);
  if (!Buffer.isBuffer(data)) throw malformed('nftables verdict where a value is due');
  return data;
}

function readVerdict(attrs: AttributeReader): NftVerdict {
  let code = 0;
  let chain = '';
  while (attrs.next()) {
    if (attrs.type === NFTA_VERDICT.CODE) code = attrs.u32be() | 0;
    else if (attrs.type === NFTA_VERDICT.CHAIN) chain = attrs.string();
  }
  switch (code) {
    case verdictCodes.drop:
      return { verdict: 'drop' };
    case verdictCodes.accept:
      return { verdict: 'accept' };
    case verdictCodes.continue:
      return { verdict: 'continue' };
    case verdictCodes.return:
      return { verdict: 'return' };
    case verdictCodes.jump:
      return { verdict: 'jump', chain };
    case verdictCodes.goto:
      return { verdict: 'goto', chain };
    default:
      throw malformed(`nftables verdict ${code}`);
  }
}
