/** Whether what the page shows can be believed, and what to say where it cannot. Pure. */
import { showAgo, showClock, showLength } from './words.js';

/**
 * `kind` is `well`; `away`: the detector does not answer; `blind`: it is not connected to what its events come from;
 * `quiet`: no event has come for so long that nobody can tell. `state` is that of the page's own connection, `answer`
 * the newest one of the detector, if there is any.
 */
export function describeSight({ isLive, since, why }, answer, now) {
  if (!isLive)
    return {
      kind: 'away',
      what: 'The detector does not answer',
      why: `Not connected since ${showSince(since, now)}${why === '' ? '' : `: ${why}`}.`,
      so: 'What is shown here is what was known then.',
    };
  if (answer === undefined) return { kind: 'well' };
  const lost = answer.connections.find(({ isConnected }) => !isConnected);
  if (lost !== undefined) {
    return {
      kind: 'blind',
      what: `Not connected to ${lost.name}`,
      why: `Since ${showSince(Date.parse(lost.since), now)}${lost.detail === null ? '' : `: ${lost.detail}`}.`,
      so: 'A task that crashes meanwhile is not seen here until the connection stands again.',
    };
  }
  const quietMs = now - Date.parse(answer.newestEvent ?? answer.startedAt);
  if (answer.quietAfterMs === null || quietMs < answer.quietAfterMs) return { kind: 'well' };
  return {
    kind: 'quiet',
    what: `No event for ${showLength(quietMs)}`,
    why: 'Either nothing happens in the cluster, or nobody reads it: /readyz of the firehose tells which.',
    so: 'Until an event comes, this page cannot know of a crash.',
  };
}

export function describeNewestEvent({ newestEvent, startedAt }, now) {
  return newestEvent === null
    ? `No event has come since the start at ${showSince(Date.parse(startedAt), now)}.`
    : `The newest event came ${showAgo(now - Date.parse(newestEvent))}.`;
}

function showSince(ms, now) {
  return `${showClock(ms, now)} (${showAgo(now - ms)})`;
}
