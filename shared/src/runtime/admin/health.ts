/** What `/readyz` asks of a dependency. */
export interface Health {
  readonly status: 'pass' | 'fail';
  /** For a person: what is wrong and with which address, or a useful fact when all is well. Never a secret. */
  readonly detail?: string;
}

export interface HealthCheck {
  /** The dependency, such as `nomad`, `rabbitmq-publish`, `redis`, `sink`. */
  readonly name: string;
  /** Answers from what is known; never waits for the network. */
  check(): Health;
}
