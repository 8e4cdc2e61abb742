/**
 * The list of crash loops: filtered, sorted, with the many loops of one job folded under a head. Only what is shown is
 * in the document, and only what changed is touched, so a thousand loops stay usable and an open card stays open.
 */
import { LoopCard, describeExit, describeReason } from './loop-card.js';
import { showCount, showNumber } from './words.js';

const pageSize = 60;
/** So many loops of a job are shown before it is opened. */
const folded = 3;
/** With more loops than this, a card that is not open shows no more than a line or two. */
const roomy = 12;

const orders = {
  newest: (a, b) => Date.parse(b.newestCrash) - Date.parse(a.newestCrash),
  count: (a, b) => b.count - a.count,
  opened: (a, b) => Date.parse(b.openedAt) - Date.parse(a.openedAt),
  job: (a, b) => a.job.localeCompare(b.job) || a.task.localeCompare(b.task),
};

export class LoopList {
  #list;
  #more;
  #nothing;
  #now;
  #template = document.getElementById('group');
  #cards = new Map();
  #heads = new Map();
  /** Jobs whose loops are all shown. */
  #opened = new Set();
  #loops = [];
  /** By id, each loop as it came. */
  #texts = new Map();
  #words = [];
  #order = 'newest';
  #limit = pageSize;
  #isFirst = true;

  /** `list`, `more` and `nothing` are elements; `now()` is the detector's clock. */
  constructor({ list, more, nothing, now }) {
    this.#list = list;
    this.#more = more;
    this.#nothing = nothing;
    this.#now = now;
    more.addEventListener('click', () => {
      this.#limit += pageSize * 2;
      this.#render();
    });
  }

  show(loops) {
    const before = new Map(this.#loops.map((loop) => [loop.id, loop]));
    const textsBefore = this.#texts;
    this.#texts = new Map(loops.map((loop) => [loop.id, JSON.stringify(loop)]));
    this.#loops = loops.map((loop) =>
      textsBefore.get(loop.id) === this.#texts.get(loop.id) ? before.get(loop.id) : loop,
    );
    this.#render();
    this.#isFirst = false;
  }

  /** Brings what depends on the time up to it. */
  tick() {
    for (const { card } of this.#cards.values()) card.tick(this.#now());
  }

  filter(text) {
    this.#words = text
      .toLowerCase()
      .split(/\s+/u)
      .filter((word) => word !== '');
    this.#limit = pageSize;
    this.#render();
  }

  sort(order) {
    this.#order = order;
    this.#render();
  }

  #render() {
    const found = this.#loops
      .filter((loop) => this.#words.every((word) => searchText(loop).includes(word)))
      .sort((a, b) => orders[this.#order](a, b) || (a.id < b.id ? -1 : 1));
    const items = arrange(found, this.#opened, this.#words.length > 0);
    const shown = items.slice(0, this.#limit);
    this.#place(shown.map((item) => (item.loop === undefined ? this.#head(item) : this.#card(item))));
    forgetOthers(this.#cards, shown);
    forgetOthers(this.#heads, shown);
    this.#list.classList.toggle('is-dense', found.length > roomy);
    this.#nothing.hidden = found.length > 0 || this.#loops.length === 0;
    this.#more.hidden = items.length <= this.#limit;
    this.#more.textContent = `Show more (${showNumber(items.length - shown.length)})`;
  }

  #card({ key, loop, isGrouped }) {
    const known = this.#cards.get(key);
    const card = known?.card ?? new LoopCard();
    if (known?.loop !== loop) card.update(loop, this.#now());
    card.element.classList.toggle('in-group', isGrouped);
    if (known === undefined && !this.#isFirst) card.element.classList.add('is-new');
    this.#cards.set(key, { card, loop });
    return card.element;
  }

  #head({ key, job, count, crashes, isOpen, canFold }) {
    const element = this.#heads.get(key) ?? this.#makeHead(key);
    this.#heads.set(key, element);
    const [title, sum, button] = element.querySelectorAll('[data-text]');
    title.textContent = job;
    sum.textContent = `${showCount(count, 'loop')}, ${showCount(crashes, 'crash')}`;
    button.textContent = isOpen ? `Show ${folded}` : `Show all ${showNumber(count)}`;
    button.hidden = !canFold;
    button.setAttribute('aria-expanded', String(isOpen));
    return element;
  }

  #makeHead(key) {
    const element = this.#template.content.firstElementChild.cloneNode(true);
    element.querySelector('button').addEventListener('click', () => {
      if (!this.#opened.delete(key)) this.#opened.add(key);
      this.#render();
    });
    return element;
  }

  /** Moves as little as possible: what has the focus keeps it. */
  #place(elements) {
    const wanted = new Set(elements);
    for (const element of [...this.#list.children]) if (!wanted.has(element)) element.remove();
    let at = this.#list.firstElementChild;
    for (const element of elements) {
      if (element === at) at = at.nextElementSibling;
      else this.#list.insertBefore(element, at);
    }
  }
}

function forgetOthers(kept, items) {
  const keys = new Set(items.map(({ key }) => key));
  for (const key of kept.keys()) if (!keys.has(key)) kept.delete(key);
}

const searchTexts = new WeakMap();

function searchText(loop) {
  let text = searchTexts.get(loop);
  if (text === undefined) {
    const crash = loop.newest;
    const parts = [
      loop.job,
      loop.group,
      loop.task,
      loop.namespace,
      loop.cluster,
      loop.node ?? '',
      loop.allocation ?? '',
      ...(crash === null ? [] : [describeExit(crash), describeReason(crash)]),
    ];
    text = parts.join('\n').toLowerCase();
    searchTexts.set(loop, text);
  }
  return text;
}

/** Loops by job, in the order in which their first ones stand; a job with many gets a head and is folded. */
function arrange(loops, opened, isFiltered) {
  const jobs = new Map();
  for (const loop of loops) {
    const key = JSON.stringify([loop.cluster, loop.namespace, loop.job]);
    const job = jobs.get(key);
    if (job === undefined) jobs.set(key, [loop]);
    else job.push(loop);
  }
  const items = [];
  for (const [key, ofJob] of jobs) {
    const isOpen = opened.has(key) || isFiltered;
    if (ofJob.length > folded)
      items.push({
        key,
        job: ofJob[0].job,
        count: ofJob.length,
        crashes: ofJob.reduce((sum, { count }) => sum + count, 0),
        isOpen,
        canFold: !isFiltered,
      });
    const isGrouped = ofJob.length > folded;
    for (const loop of isOpen ? ofJob : ofJob.slice(0, folded)) items.push({ key: loop.id, loop, isGrouped });
  }
  return items;
}
