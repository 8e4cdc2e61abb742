/** What every adapter of the state store must do, as tests. */
import type { Test } from 'tap';
import type { StateChange, StateLimits, StateStore } from './state-store.ts';

export interface StateStoreAdapter {
  readonly name: string;
  /**
   * An empty store; what it needs is torn down with the test. Its entries expire by `now`, which begins at the present,
   * or by real time.
   */
  create(this: void, t: Test, limits: StateLimits): Promise<OpenStateStore>;
}

export interface OpenStateStore {
  readonly store: StateStore;
  /** Resolves when so much time has passed for the store. */
  pass(this: void, ms: number): Promise<void>;
  /** Another one on the same state. */
  reopen(this: void): Promise<StateStore>;
}

const limits: StateLimits = { loop: 1000, end: 1000 };
const hour = 3_600_000;

export function put(
  key: string,
  value: string,
  changes: { readonly deadlineMs?: number | null; readonly expiresInMs?: number } = {},
): StateChange {
  return { key, value, deadlineMs: null, expiresInMs: hour, ...changes };
}

/** Loads what is to be changed, and commits. */
export async function change(
  store: StateStore,
  ...changes: readonly StateChange[]
): Promise<Readonly<Record<string, number>>> {
  const result = await store.commit(changes, await store.load(changes.map(({ key }) => key)));
  if (result.outcome !== 'committed') throw new Error('Expected no conflict');
  return Object.fromEntries(result.evicted);
}

async function valuesOf(store: StateStore, ...keys: readonly string[]): Promise<readonly (string | null)[]> {
  const loaded = await store.load(keys);
  return keys.map((key) => loaded.get(key)?.value ?? null);
}

type Behaviour = (t: Test, open: OpenStateStore) => Promise<void>;

const behaviours: Readonly<Record<string, Behaviour>> = {
  'what was committed is loaded, also by another': async (t, { store, reopen }) => {
    const odd = 'a b\n"c" ä \u0000 ☃';
    await change(store, put('loop/a', odd, { deadlineMs: 17 }), put(`loop/${odd}`, ''));

    for (const one of [store, await reopen()]) {
      await one.prepare();
      t.same(await valuesOf(one, 'loop/a', `loop/${odd}`, 'loop/none', 'end/a'), [odd, '', null, null]);
      t.equal((await one.load(['loop/a'])).get('loop/a')?.deadlineMs, 17);
    }
    t.equal((await store.load([])).size, 0);
  },

  'an entry that is as it is known comes without its value': async (t, { store }) => {
    await change(store, put('loop/a', '1', { deadlineMs: 5 }), put('loop/b', '1'), put('loop/c', '1'));
    const keys = ['loop/a', 'loop/b', 'loop/c', 'loop/d'];
    const known = await store.load(keys);
    const again = await store.load(keys, known);
    for (const key of ['loop/a', 'loop/b', 'loop/c'])
      t.match(again.get(key), {
        value: null,
        version: known.get(key)?.version,
        deadlineMs: key === 'loop/a' ? 5 : null,
      });
    t.equal(again.get('loop/d'), null);

    await change(store, put('loop/b', '2'), { key: 'loop/c', value: null }, put('loop/d', '2'));
    const now = await store.load(keys, known);
    t.same(now.get('loop/a'), again.get('loop/a'));
    t.same(
      keys.map((key) => now.get(key)?.value ?? null),
      [null, '2', null, '2'],
    );
    t.equal(now.get('loop/c'), null);
    t.match(await store.commit([put('loop/a', '3'), put('loop/b', '3')], now), { outcome: 'committed' });
  },

  'what was committed is known by it': async (t, { store }) => {
    const result = await store.commit(
      [put('loop/a', '1', { deadlineMs: 5 }), { key: 'loop/b', value: null }],
      await store.load(['loop/a', 'loop/b']),
    );
    if (result.outcome !== 'committed') throw new Error('Expected no conflict');

    t.match(result.entries.get('loop/a'), { value: null, deadlineMs: 5 });
    t.same([result.entries.size, result.entries.get('loop/b')], [2, null]);
    t.strictSame((await store.load(['loop/a'], result.entries)).get('loop/a'), result.entries.get('loop/a'));
    t.match(await store.commit([put('loop/a', '2')], result.entries), { outcome: 'committed' });
  },

  'of two who read the same the second conflicts, and nothing of it is applied': async (t, { store }) => {
    await change(store, put('loop/a', '1'), put('loop/b', '1'));
    const [first, second] = [await store.load(['loop/a', 'loop/b']), await store.load(['loop/a', 'loop/b'])];

    t.match(await store.commit([put('loop/b', '2')], first), { outcome: 'committed' });
    t.same(await store.commit([put('loop/a', '3')], second), { outcome: 'conflict' }, 'what was only read counts too');
    t.same(await valuesOf(store, 'loop/a', 'loop/b'), ['1', '2']);
  },

  'an entry that was absent must still be': async (t, { store }) => {
    const read = await store.load(['loop/a', 'loop/b']);
    await change(store, put('loop/a', '1'));

    t.same(await store.commit([put('loop/a', '2')], read), { outcome: 'conflict' });
    t.same(await store.commit([put('loop/b', '2')], read), { outcome: 'conflict' });
    t.match(await store.commit([put('loop/b', '2')], await store.load(['loop/b'])), { outcome: 'committed' });
  },

  'an entry that was deleted and made again is another': async (t, { store }) => {
    await change(store, put('loop/a', '1'));
    const read = await store.load(['loop/a']);
    await change(store, { key: 'loop/a', value: null });
    t.same(await valuesOf(store, 'loop/a'), [null]);
    await change(store, put('loop/a', '1'));

    t.same(await store.commit([put('loop/a', '2')], read), { outcome: 'conflict' });
    await change(store, { key: 'loop/none', value: null });
  },

  'due keys come in the order of their deadlines': async (t, { store, reopen }) => {
    await change(
      store,
      put('loop/c', '', { deadlineMs: 300 }),
      put('loop/a', '', { deadlineMs: 100 }),
      put('loop/b', '', { deadlineMs: 200 }),
      put('end/a', '', { deadlineMs: 1 }),
      put('loop/n', ''),
    );

    for (const one of [store, await reopen()]) {
      t.same(await one.due('loop', 200, 10), ['loop/a', 'loop/b']);
      t.same(await one.due('loop', 300, 2), ['loop/a', 'loop/b']);
      t.same(await one.due('loop', Infinity, 10), ['loop/a', 'loop/b', 'loop/c']);
      t.same([await one.countDeadlines('loop'), await one.countDeadlines('end'), await one.count('loop')], [3, 1, 4]);
    }
    await change(
      store,
      put('loop/a', ''),
      put('loop/b', '', { deadlineMs: 400 }),
      put('loop/c', 'other', { deadlineMs: 300 }),
      { key: 'end/a', value: null },
    );
    t.same(await store.due('loop', Infinity, 10), ['loop/c', 'loop/b']);
    t.same(await store.due('end', Infinity, 10), []);
  },

  'an entry is gone when it was not committed for its time': async (t, { store, pass, reopen }) => {
    await change(store, put('loop/brief', '1', { expiresInMs: 200 }), put('loop/long', '1'));
    await pass(250);

    for (const one of [store, await reopen()]) t.same(await valuesOf(one, 'loop/brief', 'loop/long'), [null, '1']);
    await change(store, put('loop/new', '1'), put('loop/brief', '2'));
    t.same(await valuesOf(store, 'loop/brief'), ['2']);
  },

  'after its time an entry is no longer counted': async (t, { store, pass }) => {
    await change(store, put('loop/brief', '1', { expiresInMs: 200 }));
    await pass(250);
    await change(store, put('loop/new', '1'));

    t.equal(await store.count('loop'), 1);
  },

  'many at once: each increment counts once': async (t, { store }) => {
    const increment = async (): Promise<void> => {
      for (;;) {
        const read = await store.load(['loop/n']);
        const next = Number(read.get('loop/n')?.value ?? '0') + 1;
        if ((await store.commit([put('loop/n', String(next))], read)).outcome === 'committed') return;
      }
    };
    await Promise.all(Array.from({ length: 20 }, increment));

    t.same(await valuesOf(store, 'loop/n'), ['20']);
  },
};

export function stateStoreContract(t: Test, { name, create }: StateStoreAdapter): void {
  for (const [behaviour, holds] of Object.entries(behaviours)) {
    t.test(`${name}: ${behaviour}`, async (t) => {
      await holds(t, await create(t, limits));
    });
  }
  t.test(`${name}: the entries that were not committed for the longest time make room, by kind`, async (t) => {
    const { store, pass, reopen } = await create(t, { loop: 3, end: 1 });
    for (const key of ['loop/a', 'loop/b', 'loop/c', 'end/a']) {
      await change(store, put(key, '1', { deadlineMs: 5 }));
      await pass(2);
    }
    await change(store, put('loop/a', '2', { deadlineMs: 5 }));
    await pass(2);

    t.same(await change(store, put('loop/d', '1')), { loop: 1 });
    for (const one of [store, await reopen()]) {
      t.same(await valuesOf(one, 'loop/a', 'loop/b', 'loop/c', 'loop/d', 'end/a'), ['2', null, '1', '1', '1']);
      t.same([await one.count('loop'), await one.countDeadlines('loop')], [3, 2]);
    }
  });
}
