/**
 * Asks the detector what loops, again and again, for as long as the page is open. It asks each second while somebody
 * looks and each 15 s otherwise; an answer that has not changed costs a few bytes. The states: `live`; `away`, when the
 * last attempt failed, with the time since when and why.
 */

const visibleMs = 1000;
const hiddenMs = 15_000;
const limitMs = 10_000;
/** Dates in answers are whole seconds: what is nearer than this is no difference of clocks. */
const clockToleranceMs = 2500;

/**
 * `onLoops(answer)` for each new answer, `onState({ isLive, since, why })` after each attempt. Gives `now()`, the
 * detector's clock.
 */
export function connect({ onLoops, onState }) {
  /** By token, the parts of the list as they came last. */
  let parts = new Map();
  let page = '';
  let awaySince = null;
  let clockOffsetMs = 0;
  let timer;
  let isAsking = false;

  async function ask() {
    const asked = new Map();
    let isNew = false;
    let token = '';
    do {
      const known = parts.get(token);
      const part = await askPart(token, known);
      isNew ||= part !== known;
      asked.set(token, part);
      token = part.answer.next ?? '';
    } while (token !== '' && !asked.has(token));
    isNew ||= asked.size !== parts.size;
    parts = asked;
    if (isNew) onLoops({ ...asked.get('').answer, loops: [...asked.values()].flatMap(({ answer }) => answer.loops) });
  }

  /** The same object when it has not changed. */
  async function askPart(token, known) {
    const address = token === '' ? 'crashloops' : `crashloops?after=${encodeURIComponent(token)}`;
    const response = await fetch(address, {
      cache: 'no-store',
      headers: known === undefined ? {} : { 'If-None-Match': known.etag },
      signal: AbortSignal.timeout(limitMs),
    });
    followClock(response.headers.get('Date'));
    if (response.status === 304) return known;
    const answer = await response.json().catch(() => ({ error: 'something else answers at this address' }));
    if (!response.ok || !Array.isArray(answer.loops))
      throw new Error(answer.error ?? `it answers with ${response.status}`);
    // The detector was replaced by one with another page.
    if (page !== '' && page !== answer.page) location.reload();
    page = answer.page;
    return { answer, etag: response.headers.get('ETag') ?? '' };
  }

  function followClock(date) {
    const offset = Date.parse(date ?? '') + 500 - Date.now();
    if (!Number.isNaN(offset)) clockOffsetMs = Math.abs(offset) > clockToleranceMs ? offset : 0;
  }

  async function turn() {
    if (isAsking) return;
    isAsking = true;
    clearTimeout(timer);
    try {
      await ask();
      awaySince = null;
      onState({ isLive: true });
    } catch (error) {
      awaySince ??= Date.now();
      onState({
        isLive: false,
        since: awaySince,
        why: error instanceof TypeError ? '' : error.name === 'TimeoutError' ? 'it does not answer' : error.message,
      });
    }
    isAsking = false;
    timer = setTimeout(turn, document.hidden ? hiddenMs : visibleMs);
  }

  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) void turn();
  });
  addEventListener('online', () => {
    void turn();
  });
  void turn();
  return { now: () => Date.now() + clockOffsetMs };
}

/** The newest crashes of one loop. Throws when nobody can say. */
export async function askCrashes(id) {
  const response = await fetch(`crashloops/${encodeURIComponent(id)}`, {
    cache: 'no-store',
    signal: AbortSignal.timeout(limitMs),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error ?? `it answers with ${response.status}`);
  return answer.crashes;
}
