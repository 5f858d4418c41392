import type { StreamPodSandboxesRequest, StreamPodSandboxesResponse } from '../gen/api.ts';
import { batches } from './batches.ts';
import type { StreamHandler } from './call.ts';
import { sandboxListItem } from './list-pod-sandbox.ts';
import { selectSandboxes } from './select.ts';

/** StreamPodSandboxes: ListPodSandbox in parts. */
export const streamPodSandboxes: StreamHandler<StreamPodSandboxesRequest, StreamPodSandboxesResponse> =
  function* (context, { filter }) {
    for (const part of batches(selectSandboxes(context, filter)))
      yield { podSandboxes: part.map(sandboxListItem) };
  };
