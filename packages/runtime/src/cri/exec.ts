import { CriError } from '../errors.ts';
import type { ExecRequest, ExecResponse } from '../gen/api.ts';
import { execForClient } from '../streaming/exec.ts';
import type { Handler } from './call.ts';
import { getRunningContainer } from './lookup.ts';
import { wantedStreams } from './wanted-streams.ts';

/** Exec: a URL that runs the command for whoever opens it, once, within a minute. */
export const exec: Handler<ExecRequest, ExecResponse> = (context, request) => {
  const { cmd, tty } = request;
  if (cmd.length === 0) throw new CriError('invalid-argument', 'cmd: empty');
  const wants = wantedStreams(request);
  const { id } = getRunningContainer(context, request.containerId);
  const url = context.streaming.urlFor({
    kind: 'exec',
    wants,
    run: (streams) =>
      execForClient(context, getRunningContainer(context, id), { request: { cmd, tty }, streams }),
  });
  return { url };
};
