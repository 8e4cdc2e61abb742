/** The page of crash loops: asks what loops, shows it, and says when it cannot. */
import { connect } from './connection.js';
import { LoopList } from './loop-list.js';
import { describeNewestEvent, describeSight } from './sight.js';
import { showClock, showCount } from './words.js';

const toolsFrom = 6;
const mostEnded = 5;

const at = (id) => document.getElementById(id);
const ended = [];
let known;
/** Undefined until the first attempt has ended. */
let state;

const list = new LoopList({ list: at('loops'), more: at('more'), nothing: at('nothing'), now: () => connection.now() });
const connection = connect({
  onLoops(answer) {
    noteEnded(answer.loops);
    known = answer;
    list.show(answer.loops);
    showSummary(answer);
  },
  onState(newState) {
    state = newState;
    showSight();
  },
});

/** What is said of the page's own belief, before anything else. */
function showSight() {
  if (state === undefined) return;
  const sight = describeSight(state, known, state.isLive ? connection.now() : Date.now());
  const isWell = sight.kind === 'well';
  document.body.classList.toggle('is-stale', !state.isLive);
  at('connection').dataset.state = state.isLive ? (isWell ? 'live' : 'unseen') : 'away';
  write(at('connection'), describeState(state, sight));
  at('unseen').hidden = isWell;
  at('unseen').dataset.kind = sight.kind;
  const newest = known === undefined ? '' : describeNewestEvent(known, connection.now());
  write(at('unseen-what'), sight.what ?? '');
  write(at('unseen-why'), sight.why ?? '');
  write(at('unseen-so'), isWell ? '' : `${sight.so} ${newest}`);
  at('well').hidden = !isWell || known === undefined || known.loops.length > 0;
  write(at('newest-event'), newest);
  const count = known?.loops.length ?? 0;
  document.title = `${isWell ? '' : '⚠ '}${count > 0 ? `(${count}) ` : ''}Crash loops`;
}

function describeState({ isLive, since, why }, { kind, what }) {
  if (kind === 'well') return 'Live';
  return isLive ? what : `Not connected since ${showClock(since, Date.now())}${why === '' ? '' : `: ${why}`}`;
}

function showSummary({ loops, rule, isComplete }) {
  const crashes = loops.reduce((sum, { count }) => sum + count, 0);
  const jobs = new Set(loops.map(({ cluster, namespace, job }) => JSON.stringify([cluster, namespace, job]))).size;
  write(at('looping'), `${isComplete ? '' : 'At least '}${showCount(loops.length, 'task')} crash-looping`);
  write(at('scope'), ` in ${showCount(jobs, 'job')}, ${showCount(crashes, 'crash')}`);
  for (const place of document.querySelectorAll('.rule')) write(place, describeRule(rule));
  at('summary').hidden = loops.length === 0;
  at('tools').hidden = loops.length < toolsFrom && at('filter').value === '';
}

function describeRule({ restartCount, restartInterval, overrides }) {
  const times = restartCount === 1 ? 'once' : `${restartCount} times`;
  return `A task loops when it crashes ${times} within ${restartInterval}${overrides === 0 ? '' : '; some tasks have rules of their own'}.`;
}

/** Untouched when it says so already: a screen reader would read it out again. */
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function makeStrong(text) {
  const strong = document.createElement('strong');
  strong.textContent = text;
  return strong;
}

function noteEnded(loops) {
  const now = new Set(loops.map(({ id }) => id));
  for (const { id, job, task } of known?.loops ?? [])
    if (!now.has(id)) ended.unshift({ job, task, at: connection.now() });
  ended.length = Math.min(ended.length, mostEnded);
  at('ended').hidden = ended.length === 0;
  at('ended')
    .querySelector('ul')
    .replaceChildren(
      ...ended.map(({ job, task, at: time }) => {
        const item = document.createElement('li');
        item.append(makeStrong(job), ` / ${task}, at ${showClock(time, connection.now())}`);
        return item;
      }),
    );
}

at('filter').addEventListener('input', ({ currentTarget }) => {
  list.filter(currentTarget.value);
});
at('order').addEventListener('change', ({ currentTarget }) => {
  list.sort(currentTarget.value);
});
setInterval(() => {
  if (document.hidden) return;
  list.tick();
  showSight();
}, 1000);
