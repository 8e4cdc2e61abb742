/** What `doctor` asks of a destination: to be connected to, and its own health check, which sends nothing. */
import type { Examination } from '../runtime/doctor.ts';
import type { Sink } from './sink.ts';

/** `subject` is the sink as a person knows it, such as `sink http`. */
export function examineSink(subject: string, sink: Sink): Examination {
  return {
    subject,
    advice: 'check the SINK_ settings, and whether the destination takes connections from here',
    async examine(signal) {
      try {
        await sink.connect(signal);
        await sink.healthcheck(signal);
        return [{ subject, isWell: true, detail: 'a write would probably work' }];
      } finally {
        await sink.close();
      }
    },
  };
}
