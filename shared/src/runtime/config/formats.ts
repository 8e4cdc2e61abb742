/** How one kind of value is read and checked. */
export interface Format<T> {
  /** As the documentation names it: `duration`, `size`, `url`. */
  readonly name: string;
  /** For error messages, such as `a duration such as "25s"`. */
  readonly expected: string;
  /** `raw` is a string from the environment, or a value of CONFIG_FILE. Returns undefined when it is not as expected. */
  parse(raw: unknown): T | undefined;
}
