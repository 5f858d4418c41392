import type { AttachRequest, AttachResponse } from '../gen/api.ts';
import { attachClient } from '../streaming/attach.ts';
import type { Handler } from './call.ts';
import { getRunningContainer } from './lookup.ts';
import { wantedStreams } from './wanted-streams.ts';

/** Attach: a URL that leads to the container's own streams, once, within a minute. */
export const attach: Handler<AttachRequest, AttachResponse> = (context, request) => {
  const wants = wantedStreams(request);
  const { id } = getRunningContainer(context, request.containerId);
  const url = context.streaming.urlFor({
    kind: 'attach',
    wants,
    run: (streams) => attachClient(context, getRunningContainer(context, id), streams),
  });
  return { url };
};
