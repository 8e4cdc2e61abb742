/** Alerts go to a bus, by default the one that the events came from, where sinks may bind to them. */
import type { Bus } from '@hydrant/shared/bus/bus';
import type { AlertPublisher } from './alert-publisher.ts';

export function createBusAlertPublisher(bus: Bus): AlertPublisher {
  return { publish: (message) => bus.publish(message, { mandatory: true, evenWhenFull: true }) };
}
