/** What `doctor` asks of the broker: whether it can be reached and published to, and whether the queues are there. */
import type { Clock } from '../foundation/clock.ts';
import { examineComponent, type Examination, type Finding } from '../runtime/doctor.ts';
import type { Bus } from './bus.ts';

export interface ExaminedQueue {
  readonly name: string;
  /** Made by the service when it starts; otherwise somebody else has to make it. */
  readonly isOwn: boolean;
}

export interface ExamineBusOptions {
  readonly subject: string;
  readonly exchange: string;
  readonly queues: readonly ExaminedQueue[];
  readonly clock: Clock;
}

async function examineQueue(bus: Pick<Bus, 'hasQueue'>, { name, isOwn }: ExaminedQueue): Promise<Finding> {
  const subject = `queue ${name}`;
  if (await bus.hasQueue(name)) return { subject, isWell: true, detail: 'is there' };
  if (isOwn)
    return {
      subject,
      isWell: true,
      detail: 'is not there yet; it is made when the service starts, and receives what is published from then on',
    };
  return {
    subject,
    isWell: false,
    detail: 'is not there; start the service that reads it, or take it out of FIREHOSE_WAIT_FOR_QUEUES',
  };
}

/** Makes the exchange where it is missing, as the service would. */
export function examineBus(bus: Bus, { subject, exchange, queues, clock }: ExamineBusOptions): Examination {
  return examineComponent(subject, bus, bus.healthChecks.slice(0, 1), {
    advice: 'is RabbitMQ running, and do address, user, password and virtual host in AMQP_CONNECTION fit?',
    clock,
    also: async () => [
      { subject: `exchange ${exchange}`, isWell: true, detail: 'is there' },
      ...(await Promise.all(queues.map((queue) => examineQueue(bus, queue)))),
    ],
  });
}
