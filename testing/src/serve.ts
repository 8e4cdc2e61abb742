/**
 * The servers that a whole test run shares. For the program that starts the tests: start, run the tests with `env`
 * added to theirs, close.
 */
import { RabbitMqNode } from './rabbitmq-node.ts';
import { sharedRabbitMqVariable } from './private-rabbitmq.ts';

export interface TestServers {
  /** To be added to the environment of the tests. */
  readonly env: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

export async function startTestServers(): Promise<TestServers> {
  const node = await RabbitMqNode.boot();
  return {
    env: { [sharedRabbitMqVariable]: node.place.folder },
    close: () => node.close(),
  };
}
