import assert from 'node:assert/strict';
import { status } from '@grpc/grpc-js';

/** gRPC status codes by name. */
export const grpcCode = status;

/** Asserts that a call fails with this gRPC code and an error text like this. */
export async function refuses(call: Promise<unknown>, code: number, text: RegExp): Promise<void> {
  const error = await call.then(
    (answer) =>
      assert.fail(
        `succeeded: ${JSON.stringify(answer, (_, value) => (typeof value === 'bigint' ? String(value) : value))}`,
      ),
    (reason: { code?: number; details?: string }) => reason,
  );
  assert.match(error.details ?? String(error), text);
  assert.equal(status[error.code!], status[code], error.details);
}
