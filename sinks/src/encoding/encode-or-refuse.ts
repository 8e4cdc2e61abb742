/** For what a sink does with messages before anything is sent. */
import { permanent } from '@hydrant/shared/delivery/sink';
import { describeError, errorCode } from '@hydrant/shared/foundation/errors';

/**
 * As `encode`, but what it throws is permanent: the same messages fail again, and everything behind them would wait for
 * ever.
 */
export function encodeOrRefuse<T>(encode: () => T): T {
  try {
    return encode();
  } catch (error) {
    if (errorCode(error) === 'sink-permanent') throw error;
    throw permanent(
      `Expected to encode what came, could not: ${describeError(error)}. This is a bug in Hydrant`,
      error,
    );
  }
}
