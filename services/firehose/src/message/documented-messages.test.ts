/** docs/messages.md and docs/schemas/event.schema.json say what the code does. */
import { readFile } from 'node:fs/promises';
import { readRecording } from '@hydrant/testing/recordings';
import t from 'tap';
import { scanFrame } from '../source/scan-frame.ts';
import { createFrameMessages } from './message-maker.ts';
import { createRedact } from './redact.ts';

const docs = new URL('../../../../docs/', import.meta.url);

interface EventSchema {
  readonly required: readonly string[];
  readonly properties: Readonly<
    Record<string, { readonly type: string | readonly string[]; readonly minLength?: number }>
  >;
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return Number.isInteger(value) ? 'integer' : typeof value;
}

t.test('every recorded event is as the schema has it', async (t) => {
  const { required, properties } = JSON.parse(
    await readFile(new URL('schemas/event.schema.json', docs), 'utf8'),
  ) as EventSchema;
  const problems = new Set<string>();
  let events = 0;
  for (const line of await readRecording('crashing-cluster')) {
    for (const event of (JSON.parse(line.toString('utf8')) as { readonly Events?: readonly Record<string, unknown>[] })
      .Events ?? []) {
      events += 1;
      for (const name of required) if (!(name in event)) problems.add(`lacks ${name}`);
      for (const [name, value] of Object.entries(event)) {
        const rule = properties[name];
        if (
          rule === undefined ||
          ![rule.type].flat().includes(typeOf(value)) ||
          (rule.minLength !== undefined && value === '')
        )
          problems.add(`${name}: ${typeOf(value)}`);
      }
    }
  }

  t.equal(events, 885);
  t.same([...problems], []);
});

t.test('the example of the page is what is made of such an event', async (t) => {
  const page = await readFile(new URL('messages.md', docs), 'utf8');
  const allocation = {
    Topic: 'Allocation',
    Type: 'AllocationUpdated',
    Key: 'b026f72d-5064-1ded-a45e-1eb7d3346510',
    Namespace: 'default',
    FilterKeys: ['checkout-api'],
    Index: 4711,
    Payload: { Allocation: { JobID: 'checkout-api' } },
  };
  const frame = scanFrame(Buffer.from(`${JSON.stringify({ Index: 4711, Events: [allocation] })}\n`));
  if (frame === 'heartbeat') throw new Error('Expected a frame with an event');

  const [message] = createFrameMessages({
    cluster: 'prod',
    region: 'default',
    redact: createRedact([]),
    leavesOut: undefined,
  }).make(frame, 1).messages;

  const headers = Object.entries(message?.headers ?? {})
    .map(([name, value]) => `${name}=${String(value)}`)
    .join('  ');
  for (const line of [
    `routing key  ${message?.routingKey ?? ''}\n`,
    `messageId    ${message?.id ?? ''}\n`,
    `type         ${message?.type ?? ''}\n`,
    `headers      ${headers}\n`,
  ])
    t.ok(page.includes(line), line);
});
