/** A signature as it came, nothing of it trusted. */
export interface CosignSignature {
  form: 'simple signing' | 'bundle';
  /** What it says: JSON. */
  payload: Buffer;
  /** The bytes that were signed. */
  signed: Buffer;
  signature: Buffer;
}

const statementType = 'application/vnd.in-toto+json';

/**
 * The signatures in a sigstore bundle (sigstore's protobuf-specs, `Bundle` as JSON): a DSSE envelope around an in-toto
 * statement. Certificates and proofs of a transparency log in it are passed over: a public key is what counts.
 * @returns why there is none, when there is none
 */
export function readBundle(bytes: Buffer): CosignSignature[] | string {
  let envelope: Record<string, unknown> | undefined;
  try {
    envelope = JSON.parse(bytes.toString('utf8')).dsseEnvelope;
  } catch {
    return 'it is not JSON';
  }
  if (typeof envelope !== 'object' || envelope === null) return 'it holds no DSSE envelope';
  const { payload: text, payloadType, signatures } = envelope;
  if (payloadType !== statementType) return `its payload is of type ${JSON.stringify(payloadType)}`;
  if (typeof text !== 'string' || !Array.isArray(signatures)) return 'its envelope is incomplete';
  const payload = Buffer.from(text, 'base64');
  const signed = preAuthenticationEncoding(statementType, payload);
  return signatures.flatMap((entry): CosignSignature[] => {
    const signature = (entry as { sig?: unknown } | null)?.sig;
    return typeof signature === 'string'
      ? [{ form: 'bundle', payload, signed, signature: Buffer.from(signature, 'base64') }]
      : [];
  });
}

/** What is signed of an envelope (DSSE, protocol.md, "PAE"). */
export function preAuthenticationEncoding(type: string, payload: Buffer): Buffer {
  const head = `DSSEv1 ${Buffer.byteLength(type)} ${type} ${payload.length} `;
  return Buffer.concat([Buffer.from(head), payload]);
}
