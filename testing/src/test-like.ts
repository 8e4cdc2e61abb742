/** The part of a tap test that the helpers use: a place to leave what must be undone when the test ends. */
export interface TestLike {
  teardown(action: () => unknown): unknown;
}

export function isTestLike(value: unknown): value is TestLike {
  return typeof value === 'object' && value !== null && 'teardown' in value && typeof value.teardown === 'function';
}

/** Every helper may be called as `(t, options)`, `(t)`, `(options)` or `()`. */
export function readHelperArguments<O extends object>(
  first?: TestLike | O,
  second?: O,
): { test: TestLike | undefined; options: O | undefined } {
  if (isTestLike(first)) return { test: first, options: second };
  return { test: undefined, options: first };
}
