/** What all destinations that speak to people have in common. */
import { url } from '@hydrant/shared/runtime/config/formats';
import type { Schema } from '@hydrant/shared/runtime/config/setting';

export const chatSettings = {
  NOMAD_UI_URL: {
    doc: "Address of Nomad's web interface, for links; none: no links.",
    format: url(['http:', 'https:']),
    default: null,
    example: 'https://nomad.example:4646',
  },
} as const satisfies Schema;

/** One message at a time and in order: the end of a loop must not overtake its beginning. */
export const chatDelivery = {
  defaults: { batchEvents: 1, batchBytes: 1024 * 1024, batchAgeMs: 0, bindings: ['crash-loop', 'crash-loop-resolved'] },
  maxConcurrency: 1,
} as const;
