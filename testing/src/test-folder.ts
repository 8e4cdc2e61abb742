/** The folder of a test; gone when the test is over, and what it tears down has ended. */
import type { TestLike } from './test-like.ts';

interface TestWithFolder<Content> extends TestLike {
  testdir(content?: Content): string;
}

/** n.b. tap runs the teardowns that are asked for after the folder when the folder is gone: so one is asked for before. */
export function testFolder<Content>(t: TestWithFolder<Content>, content?: Content): string {
  t.teardown(() => undefined);
  const test = t;
  return test.testdir(content);
}
