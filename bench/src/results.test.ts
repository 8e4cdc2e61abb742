import t from 'tap';
import { renderResults } from './results-page.ts';
import { mergeResults, type AxisResult, type FiguresResult, type PathResult, type Results } from './results.ts';

const machine = {
  cpu: 'Some processor',
  cores: 2,
  memoryGiB: 24,
  node: '20.19.0',
  rabbitmq: '3.10.8',
  redis: '7.0.15',
};
const none: Results = { machine, paths: [], figures: [], axes: [], against: [] };
const measuredAt = '2026-03-04T05:06:07.000Z';

function path(name: string, median: number): PathResult {
  return {
    name,
    measuredAt,
    rounds: 3,
    eventsPerSecond: { median, min: median - 1, max: median + 1 },
    floor: 'bare publisher',
    floorEventsPerSecond: { median: 20_000, min: 19_000, max: 21_000 },
    ratio: median / 20_000,
    target: 0.8,
    peakMemory: { firehose: 123_400_000 },
    cpuSecondsPer100k: 4.567,
    missed: median >= 16_000 ? [] : ['ratio'],
  };
}

const figures: FiguresResult = {
  name: 'snapshot',
  measuredAt,
  what: '10,000 allocations in the list',
  figures: [
    { name: 'published after', value: 4.321, unit: 's', atMost: 5, isMet: true },
    { name: 'never', value: NaN, unit: 's', atMost: 1, isMet: false },
    { name: 'read', value: 3, unit: 'pages', isMet: true },
  ],
};
const axis: AxisResult = {
  name: 'size',
  measuredAt,
  what: 'the firehose',
  columns: ['event, bytes', 'events/s'],
  rows: [
    [1000, 23_456.7],
    [100_000, 0.1234],
  ],
};

t.test('a row that is measured again replaces the older one, others stay, in the order of the benchmark', (t) => {
  const before = mergeResults(none, { paths: [path('standalone', 1), path('own', 2)] }, ['firehose', 'standalone']);
  const after = mergeResults(before, { paths: [path('firehose', 3), path('standalone', 4)], axes: [axis] }, [
    'firehose',
    'standalone',
  ]);
  t.strictSame(
    after.paths.map(({ name, eventsPerSecond }) => [name, eventsPerSecond.median]),
    [
      ['firehose', 3],
      ['standalone', 4],
      ['own', 2],
    ],
  );
  t.strictSame(after.axes, [axis]);
  t.end();
});

t.test('the page says of machine, versions and each row what was measured, and when', (t) => {
  const page = renderResults({
    ...none,
    paths: [path('firehose', 17_000), path('slow', 9000)],
    figures: [figures],
    axes: [axis],
    against: [path('another', 5)],
  });
  for (const text of ['Some processor, 2 cores', '24 GiB', '20.19.0', '3.10.8', '7.0.15']) t.match(page, text);
  t.match(
    page,
    '| firehose | 17,000 (16,999–17,001) | bare publisher | 20,000 (19,000–21,000) | 0.85 | ratio 0.8 | met | firehose 123 MB | 4.57 | 3 | 2026-03-04 |',
  );
  t.match(page, '| slow | 9,000 (8,999–9,001) |');
  t.match(page, /\| slow .*\*\*missed\*\*: ratio \|/u);
  t.match(page, '| published after | 4.32 s | at most 5 | met |');
  t.match(page, '| never | – s | at most 1 | **missed** |');
  t.match(page, '| read | 3 pages | – |  |');
  t.match(page, '| 1,000 | 23,457 |\n| 100,000 | 0.123 |');
  t.match(page, /Other forwarders[^]*\| another \|/u);
  t.end();
});

t.test('what commands closed with stands there as it was printed', (t) => {
  const page = renderResults(none, [
    { day: '2026-03-04', text: 'make chaos FOR=3m SEED=1: three services\n\nfaults\n  killed (-9)  3\n' },
  ]);
  t.match(
    page,
    '## Closing tables\n\n### make chaos FOR=3m SEED=1: three services\n\nRun 2026-03-04.\n\n```\nfaults\n  killed (-9)  3\n```\n',
  );
  t.end();
});

t.test('what was not measured has no heading', (t) => {
  t.notMatch(renderResults(none), '## ');
  t.end();
});
