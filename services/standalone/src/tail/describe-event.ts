/**
 * An event as a person reads it: when, what it is about, and what happened. Pure; takes whatever a payload holds and
 * shows what it knows.
 */
import { makeVisible } from '@hydrant/shared/foundation/visible-text';

export interface EventLine {
  /** Milliseconds since 1970; undefined: the event does not say. */
  readonly timeMs: number | undefined;
  readonly kind: string;
  readonly job: string;
  /** The allocation's first characters, a node's name, or nothing. */
  readonly object: string;
  readonly what: string;
  /** Somebody may want to look at it. */
  readonly isBad: boolean;
}

type Fields = Readonly<Record<string, unknown>>;

const shortId = 8;
const nanosecondsPerMs = 1e6;

function fields(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '';
}

function nanoseconds(value: unknown): number | undefined {
  return typeof value === 'number' && value > 0 ? value / nanosecondsPerMs : undefined;
}

function join(...parts: readonly string[]): string {
  return parts.filter((part) => part !== '').join(', ');
}

interface TaskNews {
  readonly task: string;
  readonly type: string;
  readonly message: string;
  readonly time: number;
  readonly failed: boolean;
}

/** The newest event of each task that has one as new as the newest of all, within a second. */
function newestTaskEvents(states: Fields): readonly TaskNews[] {
  const newest = Object.entries(states).flatMap(([task, state]) => {
    const { Events: events, Failed: failed } = fields(state);
    const last = Array.isArray(events) ? fields(events.at(-1)) : {};
    if (last['Type'] === undefined) return [];
    return [
      {
        task,
        type: text(last['Type']),
        message: text(last['DisplayMessage']),
        time: nanoseconds(last['Time']) ?? 0,
        failed: failed === true,
      },
    ];
  });
  const latest = newest.reduce((last, { time }) => Math.max(last, time), 0);
  return newest.filter(({ time }) => time > latest - 1000);
}

const badTaskEvents: ReadonlySet<string> = new Set([
  'Restarting',
  'Not Restarting',
  'Driver Failure',
  'Setup Failure',
  'Failed Artifact Download',
  'Alloc Unhealthy',
  'Task hook failed',
  'Restart Signaled',
]);

function describeAllocation(allocation: Fields): Pick<EventLine, 'timeMs' | 'object' | 'what' | 'isBad'> {
  const news = newestTaskEvents(fields(allocation['TaskStates']));
  const status = text(allocation['ClientStatus']);
  const wish = text(allocation['DesiredStatus']);
  const tasks = news.map(
    ({ task, type, message }) => `${task}: ${type}${message === '' || message === type ? '' : ` (${message})`}`,
  );
  const group = text(allocation['TaskGroup']);
  return {
    timeMs: nanoseconds(allocation['ModifyTime']),
    object: text(allocation['ID']).slice(0, shortId),
    what: join(
      group === '' ? '' : `group ${group}`,
      wish === 'run' || wish === '' ? status : `${status}, to ${wish}`,
      ...tasks,
    ),
    isBad:
      status === 'failed' || status === 'lost' || news.some(({ type, failed }) => failed || badTaskEvents.has(type)),
  };
}

function describeNode(node: Fields): Pick<EventLine, 'timeMs' | 'object' | 'what' | 'isBad'> {
  const events = Array.isArray(node['Events']) ? node['Events'] : [];
  const last = fields(events.at(-1));
  const status = text(node['Status']);
  return {
    timeMs: undefined,
    object: text(node['Name']) || text(node['ID']).slice(0, shortId),
    what: join(
      status,
      text(node['SchedulingEligibility']),
      node['Drain'] === true ? 'draining' : '',
      text(last['Message']),
    ),
    isBad: status === 'down' || status === 'disconnected',
  };
}

/** What the payload of a topic without words of its own has that says most. */
function describeOther(topic: string, payload: Fields): Pick<EventLine, 'timeMs' | 'object' | 'what' | 'isBad'> {
  const object = fields(payload[topic] ?? Object.values(payload)[0]);
  const status = text(object['Status']);
  const trigger = text(object['TriggeredBy']);
  const version = object['Version'] === undefined ? '' : `version ${text(object['Version'])}`;
  const description = text(object['StatusDescription']);
  return {
    timeMs: nanoseconds(object['ModifyTime']) ?? (topic === 'Job' ? nanoseconds(object['SubmitTime']) : undefined),
    object: topic === 'Job' ? '' : text(object['ID']).slice(0, shortId),
    what: join(
      topic === 'Job' ? join(text(object['Type']), version) : '',
      status,
      object['Stop'] === true ? 'stopped' : '',
      trigger === '' ? '' : `after ${trigger}`,
      description,
    ),
    isBad: status === 'failed' || status === 'blocked',
  };
}

function jobOf(topic: string, payload: Fields): string {
  const object = fields(payload[topic]);
  return topic === 'Job' ? text(object['ID']) : text(object['JobID']);
}

/** `event` is one of a frame, parsed. */
export function describeEvent(event: unknown): EventLine {
  const { Topic: topic, Type: type, Payload: payload, Key: key } = fields(event);
  const name = text(topic);
  const body = fields(payload);
  const described =
    name === 'Allocation'
      ? describeAllocation(fields(body['Allocation']))
      : name === 'Node'
        ? describeNode(fields(body['Node']))
        : describeOther(name, body);
  return {
    ...described,
    kind: makeVisible(`${name}/${text(type)}`),
    job: makeVisible(jobOf(name, body)),
    object: makeVisible(described.object || (jobOf(name, body) === '' ? text(key).slice(0, shortId) : '')),
    what: makeVisible(described.what),
  };
}

const colours = { dim: '\u001b[2m', bold: '\u001b[1m', red: '\u001b[31m', off: '\u001b[0m' } as const;

/** `nowMs` stands in where the event tells no time. */
export function formatEventLine(
  line: EventLine,
  { nowMs, withColours }: { readonly nowMs: number; readonly withColours: boolean },
): string {
  const paint = (colour: keyof typeof colours, words: string): string =>
    withColours && words !== '' ? `${colours[colour]}${words}${colours.off}` : words;
  const time = new Date(line.timeMs ?? nowMs).toISOString().slice(11, 23);
  const parts = [
    paint('dim', time),
    line.kind.padEnd(28),
    paint('bold', line.job),
    line.object,
    line.isBad ? paint('red', line.what) : line.what,
  ];
  return parts
    .filter((part) => part !== '')
    .join('  ')
    .trimEnd();
}
