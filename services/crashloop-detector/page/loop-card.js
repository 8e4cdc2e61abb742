/** One crash loop on the page. Whatever the cluster says goes in as text, never as markup. */
import { askCrashes } from './connection.js';
import { drawTimeline } from './timeline.js';
import { shortId, showAgo, showClock, showCount, showNumber, showPace } from './words.js';

const template = document.getElementById('card');

export class LoopCard {
  element = template.content.firstElementChild.cloneNode(true);
  #texts = new Map([...this.element.querySelectorAll('[data-text]')].map((node) => [node.dataset.text, node]));
  #bars = this.element.querySelector('.bars');
  #details = this.element.querySelector('details');
  #loop;
  #now = 0;
  #isAsking = false;
  /** The loop whose crashes stand in the table. */
  #filled;

  constructor() {
    this.#details.addEventListener('toggle', () => {
      void this.#fillTable();
    });
    this.element.querySelector('.copy').addEventListener('click', ({ currentTarget }) => {
      void copy(this.#texts.get('next'), currentTarget);
    });
  }

  /** `loop` as `GET /crashloops` has it; `now` by the detector's clock. */
  update(loop, now) {
    this.#loop = loop;
    const newest = loop.newest ?? undefined;
    this.#write('job', loop.job);
    this.#write('group', loop.group);
    this.#write('task', loop.task);
    this.#write('place', describePlace(loop));
    this.#write('allocation', loop.allocation === null ? '' : shortId(loop.allocation));
    this.#write('badge', newest === undefined ? '' : describeExit(newest));
    this.#write('reason', newest === undefined ? '' : describeReason(newest));
    this.#write('count', showNumber(loop.count));
    this.#write('within', `${loop.count === 1 ? 'crash' : 'crashes'} in ${loop.restartInterval}`);
    this.#write('pace', describePace(loop, now));
    this.#write('from', `${loop.restartInterval} ago`);
    this.#write('next', loop.nextStep ?? '');
    this.#write(
      'details',
      `${showCount(loop.count, 'crash')}${loop.allocations > 1 ? ` of ${showCount(loop.allocations, 'allocation')}` : ''}`,
    );
    this.#texts.get('badge').dataset.kind = newest?.oomKilled ? 'oom' : newest?.exitCode === null ? 'failed' : 'exit';
    this.element.querySelector('.next').hidden = loop.nextStep === null;
    this.element
      .querySelector('.timeline')
      .setAttribute('aria-label', `${showCount(loop.count, 'crash')} within ${loop.restartInterval}`);
    this.#link('job', loop.jobUrl);
    this.#link('task', loop.taskUrl);
    this.tick(now);
    void this.#fillTable();
  }

  tick(now) {
    this.#now = now;
    this.#write('latest', `last crash ${showAgo(now - Date.parse(this.#loop.newestCrash))}`);
    this.#bars.setAttribute('d', drawTimeline(this.#loop.timeline, this.#loop.intervalMs, now));
  }

  #write(name, text) {
    const node = this.#texts.get(name);
    if (node.textContent !== text) node.textContent = text;
  }

  #link(name, url) {
    const anchor = this.element.querySelector(`[data-link=${name}]`);
    if (url === null) anchor.removeAttribute('href');
    else anchor.href = url;
  }

  /** Asked for when somebody looks, and again when the loop has changed meanwhile. */
  async #fillTable() {
    if (this.#isAsking) return;
    this.#isAsking = true;
    while (this.#details.open && this.#filled !== this.#loop) {
      const loop = this.#loop;
      // What cannot be had now comes with the next change; the page says elsewhere that nobody answers.
      const crashes = await askCrashes(loop.id).catch(() => undefined);
      this.#filled = loop;
      if (crashes !== undefined) this.#showCrashes(crashes, loop);
    }
    this.#isAsking = false;
  }

  #showCrashes(crashes, { count }) {
    this.#details
      .querySelector('tbody')
      .replaceChildren(...crashes.toReversed().map((crash) => makeRow(crash, this.#now)));
    this.#write(
      'shown',
      crashes.length < count ? `The newest ${showNumber(crashes.length)} of ${showCount(count, 'crash')}.` : '',
    );
  }
}

function describePlace({ cluster, namespace, node }) {
  return [
    namespace,
    ...(cluster === 'default' || cluster === '' ? [] : [`cluster ${cluster}`]),
    ...(node === null ? [] : [`node ${shortId(node)}`]),
  ].join(' · ');
}

export function describeExit({ exitCode, signal, oomKilled }) {
  if (oomKilled) return 'out of memory';
  if (exitCode === null) return 'failed to start';
  return signal === null ? `exit ${exitCode}` : `signal ${signal}`;
}

export function describeReason({ reason, cause }) {
  return cause === null || cause === reason ? reason : `${cause} — ${reason}`;
}

function describePace({ openedAt, firstCrash, newestCrash, count }, now) {
  const pace = count > 1 ? `${showPace((Date.parse(newestCrash) - Date.parse(firstCrash)) / (count - 1))}, ` : '';
  return `${pace}since ${showClock(Date.parse(openedAt), now)}`;
}

function makeRow(crash, now) {
  const row = document.createElement('tr');
  const cells = [
    showClock(Date.parse(crash.time), now),
    describeExit(crash),
    describeReason(crash),
    shortId(crash.allocation),
    crash.node === null ? '' : shortId(crash.node),
  ];
  row.append(
    ...cells.map((text) => {
      const cell = document.createElement('td');
      cell.textContent = text;
      return cell;
    }),
  );
  return row;
}

/** Browsers keep the clipboard from pages without https; a selection can always be copied. */
async function copy(node, button) {
  let isCopied = false;
  try {
    await navigator.clipboard.writeText(node.textContent);
    isCopied = true;
  } catch {
    getSelection().selectAllChildren(node);
    isCopied = document.execCommand('copy');
  }
  button.textContent = isCopied ? 'Copied' : 'Press Ctrl+C';
  setTimeout(() => {
    button.textContent = 'Copy';
  }, 2000);
}
