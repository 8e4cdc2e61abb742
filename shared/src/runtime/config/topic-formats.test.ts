import t from 'tap';
import { bindings, topics } from './topic-formats.ts';

t.test('topics are taken by their names, and one that may be of a newer Nomad with a doubt', (t) => {
  for (const text of ['Allocation', 'Allocation,Job', '*', 'ACLAuthMethod,CSIVolume,Operator,Variable,NodePool']) {
    t.same(topics.parse(text), text.split(','));
    t.equal(topics.doubt?.(text.split(',')), undefined, text);
  }
  for (const text of ['Bogus', 'Job,NodeClass', 'Sentinel']) {
    t.same(topics.parse(text), text.split(','));
    t.match(topics.doubt?.(text.split(',')), /is no topic that this version knows.*Allocation/u, text);
  }
  t.end();
});

t.test('topics that are a slip are refused with what was meant', (t) => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['allocation', /^did you mean "Allocation"\?$/u],
    ['Alocation', /^did you mean "Allocation"\?$/u],
    ['Job,nodes', /^did you mean "Node"\?$/u],
    ['Allocations', /^did you mean "Allocation"\?$/u],
    ['acltoken', /^did you mean "ACLToken"\?$/u],
    ['all', /^for all topics write "\*"; there are Job, Allocation/u],
    ['All', /^for all topics/u],
    ['nothing', /^there are Job, Allocation/u],
    ['Job:web', /^there are Job/u],
  ];
  for (const [text, hint] of cases) {
    t.equal(topics.parse(text), undefined, text);
    t.match(topics.hint?.(text), hint, text);
  }
  t.equal(topics.parse('Job,Job'), undefined, 'Nomad sends nothing then');
  t.equal(topics.parse(''), undefined);
  t.end();
});

const allowed = [
  'event.#',
  'event.Job.#',
  'event.*.*.default.*',
  'event.#.web',
  'event.*.PlanResult.#',
  'event.Allocation.AllocationUpdated.default.web',
  '#',
  '*',
  '*.#',
  'crash-loop',
  'crash-loop-resolved',
  'crash-loop.#',
  'allocations',
  'nodes',
  'jobs',
  'jobliststubs',
  'deployments',
  'evaluations',
  'incident.opened.#',
  'my-alerts',
  'alerts.#',
  'team.a.*',
  'x',
  'nomad.default.web',
  '#.Allocation',
  '#.allocation',
  '*.Alocation.#',
];

t.test('bindings that may match something are taken', (t) => {
  for (const pattern of allowed) t.same(bindings.parse(pattern), [pattern], pattern);
  for (const pattern of allowed) t.equal(bindings.doubt?.([pattern]), undefined, pattern);
  t.same(bindings.parse('event.Job.#, crash-loop'), ['event.Job.#', 'crash-loop']);
  t.same(bindings.parse(['event.Job.#']), ['event.Job.#']);
  t.same(bindings.parse(''), []);
  t.match(bindings.doubt?.(['event.NodeClass.#']), /"NodeClass" is no topic that this version knows/u);
  t.match(bindings.doubt?.(['crashloop']), /did you mean "crash-loop"\?/u, 'an alert may have that key');
  t.end();
});

t.test('bindings that match nothing that Hydrant publishes and look like it are refused', (t) => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['event.Alocation.#', /^"Alocation" is no topic, did you mean "Allocation"\?$/u],
    ['event.allocation.#', /did you mean "Allocation"\?/u],
    ['event.all.#', /for all topics write "\*"/u],
    ['event.*.*.prod', /has 5 words.*; did you mean "event\.\*\.\*\.prod\.#"\?/u],
    ['event.Job', /did you mean "event\.Job\.#"\?/u],
    ['event', /did you mean "event\.#"\?/u],
    ['event.Job.*.default.web.x', /never 6/u],
    ['Allocation', /did you mean "event\.Allocation\.#"/u],
    ['Job.#', /did you mean "event\.Job\.#"/u],
    ['allocation', /did you mean "event\.Allocation\.#", or "allocations" of FIREHOSE_COMPAT\?/u],
    ['alocations', /"allocations"/u],
    ['events.#', /did you mean "event\.#"\?/u],
    ['Event.Job.#', /did you mean "event\.Job\.#"\?/u],
    ['evnt.Job.#', /did you mean "event\.Job\.#"\?/u],
  ];
  for (const [pattern, hint] of cases) {
    t.equal(bindings.parse(pattern), undefined, pattern);
    t.match(bindings.hint?.(`crash-loop,${pattern}`), hint, pattern);
  }
  t.end();
});
