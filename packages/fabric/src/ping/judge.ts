import { formatIp } from '@amphipod/netlink';
import type { EchoOutcome } from './echo.ts';
import type { PingCheck, PingPlan } from './ping-node.ts';
import type { PortOutcome } from './udp-port.ts';

/** What was seen when a plan was tried. */
export interface Observations {
  underlay: EchoOutcome;
  overlay: EchoOutcome;
  /** Absent where there is no encapsulation. */
  port?: PortOutcome;
  /** Full packets, and the largest that came back; absent when small ones did not. */
  underlayBig?: FullPackets;
  overlayBig?: FullPackets;
}

export interface FullPackets {
  outcome: EchoOutcome;
  /** Bytes of the largest packet that came back. */
  largest: number;
}

type Verdict = Pick<PingCheck, 'status' | 'detail' | 'advice'>;

/** Says of each step whether it works and, if not, what to look at. Depends on nothing but its arguments. */
export function judge(plan: PingPlan, seen: Observations): PingCheck[] {
  const { family } = plan;
  const verdicts: [PingCheck['name'], Verdict | undefined][] = [
    ['underlay', judgeUnderlay(plan, seen)],
    ['underlay MTU', judgeUnderlayMtu(plan, seen)],
    ['port', judgePort(plan, seen)],
    ['overlay', judgeOverlay(plan, seen)],
    ['overlay MTU', judgeOverlayMtu(plan, seen)],
  ];
  return verdicts.flatMap(([name, verdict]) => (verdict === undefined ? [] : [{ name, family, ...verdict }]));
}

const ok = (detail: string): Verdict => ({ status: 'ok', detail });
const skipped = (detail: string): Verdict => ({ status: 'skipped', detail });
const failed = (detail: string, advice: string): Verdict => ({ status: 'failed', detail, advice });

function judgeUnderlay({ own, peer }: PingPlan, { underlay, overlay }: Observations): Verdict {
  const way = `${formatIp(own)} to ${formatIp(peer)}`;
  switch (underlay.result) {
    case 'answered':
      return ok(`${way}: answers in ${underlay.ms.toFixed(1)} ms`);
    case 'silent':
      if (overlay.result === 'answered')
        return skipped(`${way}: no answer to ping, but the overlay answers: something drops ICMP`);
      return failed(
        `${way}: no answer`,
        'is the node up, and does it have this address? Does something between the two drop packets?',
      );
    case 'unreachable':
      return failed(
        `${way}: ${underlay.why}, says ${underlay.by}`,
        underlay.by === formatIp(own)
          ? 'nobody answers for this address on our link: the node is gone, or has another address by now'
          : `look at the routes and rules of ${underlay.by}`,
      );
    case 'too-big':
    case 'not-sent':
      return failed(`${way}: ${notSent(underlay)}`, ownRoutes);
  }
}

const ownRoutes = 'look at the routes and rules of this node: ip route, nft list ruleset';

function notSent(outcome: EchoOutcome & { result: 'too-big' | 'not-sent' }): string {
  if (outcome.result === 'too-big') return `too large for the link of ${outcome.by}`;
  return outcome.code === 'EPERM' ? 'a rule of this node drops it' : `not sent: ${outcome.why}`;
}

function judgeUnderlayMtu({ outerMtu, backend }: PingPlan, { underlay, underlayBig }: Observations): Verdict {
  if (underlayBig === undefined) {
    return skipped(underlay.result === 'silent' ? 'no answer to small packets' : 'small packets do not pass');
  }
  const { outcome, largest } = underlayBig;
  if (outcome.result === 'answered') return ok(`packets of ${outerMtu} bytes pass whole`);
  return failed(
    `full packets of the overlay have ${outerMtu} bytes here, only ${largest} pass${whose(outcome)}`,
    backend === 'host-gw'
      ? "raise the MTU of that link, or lower that of the nodes' own links"
      : `raise the MTU of that link, or set Backend.MTU to ${largest} in the network configuration`,
  );
}

function whose(outcome: EchoOutcome): string {
  if (outcome.result === 'too-big') {
    return `: the limit is at ${outcome.by}${outcome.mtu > 0 ? `, which says ${outcome.mtu}` : ''}`;
  }
  return outcome.result === 'silent' ? '; larger ones get lost without a word' : '';
}

function judgePort({ peer, port, backend }: PingPlan, seen: Observations): Verdict | undefined {
  if (port === undefined || seen.port === undefined) return undefined;
  const where = `UDP port ${port} of ${formatIp(peer)}`;
  if (seen.overlay.result === 'answered') return ok(`${where}: ${backend} packets come and go`);
  if (seen.port.result === 'closed') {
    return failed(
      `${where}: nobody listens there`,
      'the device of the overlay is not there: does the agent run on that node, and with the same port?',
    );
  }
  if (seen.port.result === 'not-sent') {
    const why = seen.port.code === 'EPERM' ? 'a rule of this node drops it' : seen.port.code;
    return failed(`${where}: not sent: ${why}`, ownRoutes);
  }
  if (seen.underlay.result !== 'answered') return skipped(`${where}: the node does not answer at all`);
  return failed(
    `${where}: the node answers ping, but no ${backend} packet comes back`,
    `UDP port ${port} must be open both ways: look at nft list ruleset on both nodes and at firewalls between them`,
  );
}

function judgeOverlay({ inner, isInnerSure }: PingPlan, { overlay, underlay }: Observations): Verdict {
  const where = formatIp(inner);
  switch (overlay.result) {
    case 'answered':
      return ok(`${where}: answers in ${overlay.ms.toFixed(1)} ms`);
    case 'silent':
      if (!isInnerSure)
        return skipped(`${where}: no answer; the node has this address only while it has pods`);
      return failed(`${where}: no answer`, 'mend what fails above first');
    case 'unreachable':
      if (!isInnerSure && underlay.result === 'answered')
        return skipped(`${where}: ${overlay.why}; the node has this address only while it has pods`);
      return failed(`${where}: ${overlay.why}, says ${overlay.by}`, `look at the routes of ${overlay.by}`);
    case 'too-big':
    case 'not-sent':
      return failed(
        `${where}: ${notSent(overlay)}`,
        'the way there is not in the kernel: amphipod net status, ip route',
      );
  }
}

function judgeOverlayMtu({ innerMtu }: PingPlan, { overlayBig }: Observations): Verdict {
  if (overlayBig === undefined) return skipped('small packets do not pass');
  const { outcome, largest } = overlayBig;
  if (outcome.result === 'answered') return ok(`packets of ${innerMtu} bytes pass`);
  return failed(
    `packets of pods have up to ${innerMtu} bytes, only ${largest} pass${whose(outcome)}`,
    'the MTU of the way between the nodes is too small for the overlay; see "underlay MTU"',
  );
}
