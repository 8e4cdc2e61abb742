/**
 * Inserts each message as a document of MongoDB, under the message's id, so that a repeat is there once. The client is
 * loaded when the sink is used, not before.
 */
import type { Collection, MongoClient, ObjectId, OptionalId } from 'mongodb';
import {
  partial,
  permanent,
  retryable,
  type Batch,
  type PartialFailure,
  type Sink,
  type SinkDefinition,
} from '@hydrant/shared/delivery/sink';
import { text, url } from '@hydrant/shared/runtime/config/formats';
import type { Schema, Values } from '@hydrant/shared/runtime/config/setting';
import { encodeOrRefuse } from './encoding/encode-or-refuse.ts';
import { wellFormed } from './encoding/foreign-text.ts';
import { isDoubtful, judgeCall, judgeWriteFailures, type WriteFailure } from './mongodb/judge-write.ts';
import { createDocumentParser, setId, type Document, type DocumentParser } from './mongodb/parse-document.ts';
import { unlessAborted } from './waiting/unless-aborted.ts';

const settings = {
  SINK_MONGODB_CONNECTION: {
    doc: 'Connection string.',
    format: url(['mongodb:', 'mongodb+srv:']),
    default: null,
    required: true,
    sensitive: true,
    example: 'mongodb://mongo.example:27017',
  },
  SINK_MONGODB_DATABASE: { doc: 'Database.', format: text, default: null, required: true, example: 'nomad' },
  SINK_MONGODB_COLLECTION: {
    doc: 'Collection; it is made when it does not exist.',
    format: text,
    default: null,
    required: true,
    example: 'events',
  },
} as const satisfies Schema;

type MongodbValues = Values<typeof settings>;

const selectionTimeoutMs = 5000;
const late = 'Expected MongoDB to take documents in time, it did not';
const mostDocumentBytes = 16 * 1024 * 1024;
/** A document has at most some ten times the bytes of its JSON: below this nobody needs to count. */
const surelySmallBytes = 1024 * 1024;

interface Connection {
  readonly client: MongoClient;
  readonly parser: DocumentParser;
  sizeOf(document: Document): number;
}

interface Shaped {
  readonly documents: readonly Document[];
  /** Where each stands in the batch. */
  readonly positions: readonly number[];
  readonly unfit: readonly PartialFailure[];
}

class MongodbSink implements Sink {
  readonly #values: MongodbValues;
  #connection: Connection | undefined;

  constructor(values: MongodbValues) {
    this.#values = values;
  }

  async connect(signal: AbortSignal): Promise<void> {
    const {
      MongoClient: Client,
      Long,
      BSON,
    } = await import('mongodb').catch((error: unknown) => {
      throw permanent(
        'Expected the package mongodb to be installed for SINK_TYPE=mongodb; install it beside Hydrant',
        error,
      );
    });
    // One try each: retries, their pauses and their metrics belong to the delivery.
    const client = new Client(this.#values.SINK_MONGODB_CONNECTION, {
      appName: 'hydrant',
      retryWrites: false,
      serverSelectionTimeoutMS: selectionTimeoutMs,
    });
    try {
      await unlessAborted(client.connect(), signal, 'Expected MongoDB to be connected in time, it is not');
    } catch (error) {
      client.close().catch(() => undefined);
      throw signal.aborted ? error : judgeCall(error);
    }
    this.#connection = {
      client,
      parser: createDocumentParser((digits) => Long.fromString(digits)),
      sizeOf: (document) => BSON.calculateObjectSize(document),
    };
  }

  async write(batch: Batch, signal: AbortSignal): Promise<void> {
    const connection = this.#open();
    const { documents, positions, unfit } = encodeOrRefuse(() => shape(batch, connection));
    const failure =
      documents.length === 0 ? undefined : await this.#insert(connection, { documents, positions }, signal);
    if (failure !== undefined && !('failures' in failure)) throw failure;
    const failures = [...unfit, ...(failure === undefined ? [] : (failure.failures as readonly PartialFailure[]))];
    if (failures.length > 0)
      throw partial(
        `${String(failures.length)} of ${String(batch.length)} messages were not taken: ${failures[0]?.reason ?? ''}`,
        failures,
      );
  }

  async healthcheck(signal: AbortSignal): Promise<void> {
    const database = this.#open().client.db(this.#values.SINK_MONGODB_DATABASE);
    try {
      await unlessAborted(database.command({ ping: 1 }), signal, 'Expected MongoDB to answer in time, it did not');
    } catch (error) {
      throw signal.aborted ? error : judgeCall(error);
    }
  }

  async close(): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    await connection?.client.close();
  }

  /** Undefined when all documents are there; otherwise what they fail with. */
  async #insert(
    { client }: Connection,
    { documents, positions }: Omit<Shaped, 'unfit'>,
    signal: AbortSignal,
  ): Promise<Error | undefined> {
    const collection = client.db(this.#values.SINK_MONGODB_DATABASE).collection(this.#values.SINK_MONGODB_COLLECTION);
    try {
      // What was begun goes on after the time is up; the next try then finds its documents there.
      await unlessAborted(collection.insertMany(documents as OptionalId<Document>[], { ordered: false }), signal, late);
      return undefined;
    } catch (error) {
      const writeFailures = signal.aborted ? undefined : readWriteFailures(error);
      if (writeFailures === undefined) return signal.aborted ? (error as Error) : judgeCall(error);
      const doubtful = writeFailures.filter(isDoubtful).map(({ index }) => documents[index]?.['_id']);
      const there = doubtful.length === 0 ? new Set() : await findThere(collection, doubtful, signal);
      return judgeWriteFailures(writeFailures, positions, ({ index }) => there.has(documents[index]?.['_id']));
    }
  }

  #open(): Connection {
    if (this.#connection === undefined) throw retryable('Expected the MongoDB sink to be connected, it is not');
    return this.#connection;
  }
}

/** Which of these ids are in the collection. */
async function findThere(
  collection: Collection,
  ids: readonly unknown[],
  signal: AbortSignal,
): Promise<ReadonlySet<unknown>> {
  try {
    const found = await unlessAborted(
      collection.find({ _id: { $in: ids as ObjectId[] } }, { projection: { _id: 1 } }).toArray(),
      signal,
      late,
    );
    return new Set(found.map(({ _id }) => _id as unknown));
  } catch (error) {
    throw signal.aborted ? error : judgeCall(error);
  }
}

function shape(batch: Batch, { parser, sizeOf }: Connection): Shaped {
  const documents: Document[] = [];
  const positions: number[] = [];
  const unfit: PartialFailure[] = [];
  for (const [index, { id, body }] of batch.entries()) {
    const document = parser.parse(body);
    if (document === undefined) {
      unfit.push({ index, reason: 'Expected the message to be a JSON object, it is none', retryable: false });
      continue;
    }
    if (id !== '') setId(document, wellFormed(id));
    const bytes = body.length <= surelySmallBytes ? 0 : sizeOf(document);
    if (bytes > mostDocumentBytes) {
      unfit.push({
        index,
        reason: `Expected a document of at most ${String(mostDocumentBytes)} bytes, got ${String(bytes)}`,
        retryable: false,
      });
      continue;
    }
    documents.push(document);
    positions.push(index);
  }
  return { documents, positions, unfit };
}

/**
 * Of an error that tells of single documents; undefined when it tells of the whole call (also of a write concern that
 * was not kept).
 */
function readWriteFailures(error: unknown): readonly WriteFailure[] | undefined {
  if (!(error instanceof Error) || error.name !== 'MongoBulkWriteError' || !('writeErrors' in error)) return undefined;
  const { writeErrors } = error as Error & { readonly writeErrors: WriteFailure | readonly WriteFailure[] };
  const failures = 'index' in writeErrors ? [writeErrors] : writeErrors;
  return failures.length === 0 ? undefined : failures;
}

export const mongodbSink: SinkDefinition<typeof settings> = {
  type: 'mongodb',
  aliases: ['mongo'],
  settings,
  defaults: { batchEvents: 500, batchBytes: 4 * 1024 * 1024, batchAgeMs: 200 },
  create: (values) => new MongodbSink(values),
};
