/**
 * The list endpoints' content: the recording's dumps, or what was played so far; in pages and by namespace, and
 * namespaces that were added since. The dumps show the end of the recording from the start.
 */
import { forEachElement } from '@hydrant/shared/foundation/json-scanner';
import type { PlayedLists } from './played-lists.ts';
import type { Recording } from './recording.ts';
import { rewriteBytes, type Rewrite } from './rewrite.ts';

export const listNames = ['allocations', 'evaluations', 'deployments', 'jobs', 'nodes', 'namespaces'] as const;
export type ListName = (typeof listNames)[number];

export interface PageRequest {
  readonly namespace: string;
  /** 0: everything. */
  readonly perPage: number;
  readonly nextToken: string;
  /** Whether objects of that namespace, or the namespace itself, may be seen. */
  readonly shows: (namespace: string) => boolean;
}

export interface Page {
  readonly body: Buffer;
  readonly nextToken: string | undefined;
}

interface ListObject {
  readonly bytes: Buffer;
  readonly namespace: string;
  readonly token: string;
  readonly sortKey: readonly (string | number)[];
}

interface ListedHead {
  readonly ID?: string;
  readonly Name?: string;
  readonly Namespace?: string;
  readonly CreateIndex?: number;
  readonly ModifyIndex?: number;
}

export class Lists {
  readonly #recording: Recording;
  readonly #rewrite: () => Rewrite;
  /** Instead of the dumps. */
  readonly #played: PlayedLists | undefined;
  readonly #added: { readonly name: string; readonly index: number; readonly madeAt: number }[] = [];
  readonly #removed = new Set<string>();
  readonly #listeners = new Set<() => void>();
  readonly #cache = new Map<ListName, { readonly rewrite: Rewrite; readonly objects: readonly ListObject[] }>();
  readonly #playedCache = new Map<ListName, { readonly changes: number; readonly objects: readonly ListObject[] }>();

  /** `rewrite` tells how the recording looks at the moment: what is listed looks like what is streamed. */
  constructor(recording: Recording, rewrite: () => Rewrite, played?: PlayedLists) {
    this.#played = played;
    this.#recording = recording;
    this.#rewrite = rewrite;
  }

  /** X-Nomad-Index of a list. */
  index(list: ListName): number {
    if (this.#played !== undefined && list !== 'namespaces') return this.#played.index(list);
    const recorded =
      (this.#recording.listIndexes.get(list) ?? this.#recording.newestIndex) + this.#rewrite().indexOffset;
    return list === 'namespaces' ? Math.max(recorded, ...this.#added.map((namespace) => namespace.index)) : recorded;
  }

  /** Nothing has been played yet, as in a rebuilt cluster. */
  forgetPlayed(): void {
    this.#played?.clear();
  }

  /** What was played is kept, to come back to it. */
  saveSnapshot(): void {
    this.#played?.save();
  }

  restoreSnapshot(): void {
    this.#played?.restore();
  }

  /** A whole object of what was played. */
  whole(list: ListName, namespace: string, key: string): Buffer | undefined {
    return this.#played?.whole(list, namespace, key);
  }

  page(list: ListName, request: PageRequest): Page {
    const visible = this.#objects(list).filter(
      (object) =>
        !this.#removed.has(list === 'namespaces' ? object.token : object.namespace) &&
        request.shows(list === 'namespaces' ? object.token : object.namespace) &&
        (list === 'nodes' ||
          list === 'namespaces' ||
          request.namespace === '*' ||
          object.namespace === request.namespace),
    );
    const first = request.nextToken === '' ? 0 : startOfPage(visible, list, request.nextToken);
    const last = request.perPage === 0 ? visible.length : first + request.perPage;
    return {
      body: Buffer.concat([
        Buffer.from('['),
        ...joined(visible.slice(first, last).map((object) => object.bytes)),
        Buffer.from(']'),
      ]),
      nextToken: visible[last]?.token,
    };
  }

  namespaceNames(): readonly string[] {
    return this.#objects('namespaces')
      .map((namespace) => namespace.token)
      .filter((name) => !this.#removed.has(name));
  }

  /** One of the recording: it and what lives in it is not there until it is added. */
  removeNamespace(name: string): void {
    this.#removed.add(name);
  }

  /** No event tells of it: only the list changes, at `index`, which may be later than the namespace was made. */
  addNamespace(name: string, index: number, madeAt = index): void {
    if (this.namespaceNames().includes(name)) return;
    this.#removed.delete(name);
    this.#added.push({ name, index, madeAt });
    this.#cache.delete('namespaces');
    for (const listener of [...this.#listeners]) listener();
  }

  /** Calls `listener` after each change until the returned function is called. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  #objects(list: ListName): readonly ListObject[] {
    if (this.#played !== undefined && list !== 'namespaces') return this.#playedObjects(list, this.#played);
    const rewrite = this.#rewrite();
    const cached = this.#cache.get(list);
    if (cached?.rewrite === rewrite) return cached.objects;
    const objects = readObjects(list, rewriteBytes(this.#body(list), rewrite));
    this.#cache.set(list, { rewrite, objects });
    return objects;
  }

  /** n.b. a list of many pages would else be read anew for each of them. */
  #playedObjects(list: ListName, played: PlayedLists): readonly ListObject[] {
    const cached = this.#playedCache.get(list);
    if (cached?.changes === played.changes) return cached.objects;
    const objects = readObjects(list, played.body(list));
    this.#playedCache.set(list, { changes: played.changes, objects });
    return objects;
  }

  #body(list: ListName): Buffer {
    const recorded = this.#recording.lists.get(list);
    if (list !== 'namespaces') return recorded ?? Buffer.from('[]');
    const listed =
      recorded ?? Buffer.from(JSON.stringify(this.#streamedNamespaces().map((name) => makeNamespace(name, 1))));
    if (this.#added.length === 0) return listed;
    const before = (JSON.parse(listed.toString('utf8')) as ListedHead[]).filter(({ Name }) =>
      this.#added.every(({ name }) => name !== Name),
    );
    return Buffer.from(
      JSON.stringify([...before, ...this.#added.map(({ name, madeAt }) => makeNamespace(name, madeAt))]),
    );
  }

  #streamedNamespaces(): readonly string[] {
    const names = this.#recording.frames.flatMap((frame) => frame.events.map((event) => event.namespace));
    return [...new Set(['default', ...names])].filter((name) => name !== '');
  }
}

function makeNamespace(name: string, madeAt: number): object {
  return { CreateIndex: madeAt, Description: '', Meta: null, ModifyIndex: madeAt, Name: name, Quota: '' };
}

function readObjects(list: ListName, body: Buffer): readonly ListObject[] {
  const objects: ListObject[] = [];
  forEachElement(body, 0, (start, end) => {
    const head = JSON.parse(body.toString('utf8', start, end)) as ListedHead;
    objects.push({
      bytes: body.subarray(start, end),
      namespace: head.Namespace ?? '',
      token: makeToken(list, head),
      sortKey: makeSortKey(list, head),
    });
  });
  return objects.sort((left, right) => compare(left.sortKey, right.sortKey));
}

function makeToken(list: ListName, head: ListedHead): string {
  return makeSortKey(list, head).join('.');
}

/** What a list is ordered by, which is also what its tokens say. */
function makeSortKey(list: ListName, head: ListedHead): readonly (string | number)[] {
  if (list === 'namespaces') return [head.Name ?? ''];
  if (list === 'nodes') return [head.ID ?? ''];
  if (list === 'jobs') return [head.Namespace ?? '', head.ID ?? ''];
  return [head.CreateIndex ?? 0, head.ID ?? ''];
}

/** A token names the first object of the next page, or where it was if it has gone meanwhile. */
function startOfPage(objects: readonly ListObject[], list: ListName, token: string): number {
  const dot = token.indexOf('.');
  const parts =
    list === 'nodes' || list === 'namespaces' || dot === -1 ? [token] : [token.slice(0, dot), token.slice(dot + 1)];
  const wanted =
    list === 'jobs' ? parts : parts.map((part, position) => (position === 0 && parts.length > 1 ? Number(part) : part));
  const found = objects.findIndex((object) => compare(object.sortKey, wanted) >= 0);
  return found === -1 ? objects.length : found;
}

function compare(left: readonly (string | number)[], right: readonly (string | number)[]): number {
  for (const [position, value] of left.entries()) {
    const other = right[position];
    if (other === undefined || value === other) continue;
    return value < other ? -1 : 1;
  }
  return 0;
}

function joined(parts: readonly Buffer[]): readonly Buffer[] {
  return parts.flatMap((part, position) => (position === 0 ? [part] : [Buffer.from(','), part]));
}
