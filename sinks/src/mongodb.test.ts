import { sinkContract, makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import type { Sink } from '@hydrant/shared/delivery/sink';
import { errorCode } from '@hydrant/shared/foundation/errors';
import type { Message } from '@hydrant/shared/messages/message';
import { loadConfig } from '@hydrant/shared/runtime/config/load-config';
import { startFaultProxy } from '@hydrant/testing/fault-proxy';
import { testLog } from '@hydrant/testing/test-log';
import { BSON, Long } from 'mongodb';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { judgeCall, judgeWriteFailures } from './mongodb/judge-write.ts';
import { createDocumentParser } from './mongodb/parse-document.ts';
import { mongodbSink } from './mongodb.ts';

type Fields = Readonly<Record<string, unknown>>;

const never = new AbortController().signal;
const parser = createDocumentParser((digits) => Long.fromString(digits));

function createSink(port: number, { user = '', options = '' } = {}): Sink {
  const env = {
    SINK_MONGODB_CONNECTION: `mongodb://${user}127.0.0.1:${String(port)}/${options}`,
    SINK_MONGODB_DATABASE: 'nomad',
    SINK_MONGODB_COLLECTION: 'events',
  };
  return mongodbSink.create(loadConfig(mongodbSink.settings, { env }), { log: testLog(), name: 'mongodb' });
}

/** As JSON, whole numbers with all their digits and without what tells documents apart. */
function show(document: Fields): string {
  const { _id, ...rest } = document;
  return JSON.stringify(rest, (_key, value: unknown) =>
    Long.isLong(value) ? `@${value.toString()}@` : value,
  ).replaceAll(/"@(-?\d+)@"/gu, '$1');
}

const opQuery = 2004;
const opMessage = 2013;

/** The documents of a message: its command, and those of the sequence beside it under the sequence's name. */
function readCommand(bytes: Buffer): Fields {
  const options = { promoteLongs: false };
  if (bytes.readInt32LE(12) === opQuery) return BSON.deserialize(bytes.subarray(bytes.indexOf(0, 20) + 9), options);
  let command: Fields = {};
  for (let at = 20; at < bytes.length;) {
    const kind = bytes[at];
    const end = at + 1 + bytes.readInt32LE(at + 1);
    if (kind === 0) command = { ...command, ...BSON.deserialize(bytes.subarray(at + 1, end), options) };
    else {
      const nameEnd = bytes.indexOf(0, at + 5);
      const documents: Fields[] = [];
      for (let start = nameEnd + 1; start < end; start += bytes.readInt32LE(start))
        documents.push(BSON.deserialize(bytes.subarray(start, start + bytes.readInt32LE(start)), options));
      command = { ...command, [bytes.toString('utf8', at + 5, nameEnd)]: documents };
    }
    at = end;
  }
  return command;
}

function writeReply(request: Buffer, answer: Fields): Buffer {
  const body = BSON.serialize(answer);
  const isQuery = request.readInt32LE(12) === opQuery;
  // An OP_REPLY has flags, cursor, start and count before its document, an OP_MSG flags and the kind of its section.
  const head = Buffer.alloc(16 + (isQuery ? 20 : 5));
  head.writeInt32LE(head.length + body.length, 0);
  head.writeInt32LE(request.readInt32LE(4), 8);
  head.writeInt32LE(isQuery ? 1 : opMessage, 12);
  if (isQuery) head.writeInt32LE(1, 32);
  return Buffer.concat([head, body]);
}

/**
 * Speaks what the client needs of MongoDB's protocol and keeps documents by their `_id`. `judge` says of a document
 * what is wrong with it.
 */
async function startMongo(t: Test) {
  const documents = new Map<string, Fields>();
  const server = {
    port: 0,
    documents,
    saysIndex: true,
    judge: (_document: Fields): number | undefined => undefined,
    judgeCommand: (_command: Fields): number | undefined => undefined,
  };
  const hello = {
    ismaster: true,
    isWritablePrimary: true,
    helloOk: true,
    maxBsonObjectSize: 16_777_216,
    maxMessageSizeBytes: 48_000_000,
    maxWriteBatchSize: 100_000,
    minWireVersion: 0,
    maxWireVersion: 21,
    ok: 1,
  };
  const insert = (given: readonly Fields[]): Fields => {
    const writeErrors = given.flatMap((document, index) => {
      const code = documents.has(String(document['_id'])) ? 11_000 : server.judge(document);
      if (code === undefined) documents.set(String(document['_id']), document);
      return code === undefined
        ? []
        : [
            {
              index,
              code,
              errmsg:
                code === 11_000 && server.saysIndex
                  ? 'E11000 duplicate key error collection: nomad.events index: _id_ dup key: { _id: "x" }'
                  : 'no',
            },
          ];
    });
    return { n: given.length - writeErrors.length, ok: 1, ...(writeErrors.length === 0 ? {} : { writeErrors }) };
  };
  const answer = (command: Fields): Fields => {
    if ('hello' in command || 'ismaster' in command || 'isMaster' in command) return hello;
    const code = server.judgeCommand(command);
    if (code !== undefined) return { ok: 0, code, errmsg: 'not like this' };
    if ('find' in command) {
      const { $in: ids } = (command['filter'] as { readonly _id: { readonly $in: readonly string[] } })._id;
      return {
        ok: 1,
        cursor: {
          id: Long.ZERO,
          ns: 'nomad.events',
          firstBatch: ids.filter((id) => documents.has(id)).map((id) => ({ _id: id })),
        },
      };
    }
    return 'insert' in command ? insert(command['documents'] as readonly Fields[]) : { ok: 1 };
  };
  const sockets = new Set<Socket>();
  const listener = createServer((socket) => {
    let bytes = Buffer.alloc(0);
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('data', (part) => {
      bytes = Buffer.concat([bytes, part]);
      while (bytes.length >= 4 && bytes.length >= bytes.readInt32LE(0)) {
        const request = bytes.subarray(0, bytes.readInt32LE(0));
        bytes = bytes.subarray(request.length);
        socket.write(writeReply(request, answer(readCommand(request))));
      }
    });
  });
  await new Promise<void>((resolve) => {
    listener.listen(0, '127.0.0.1', resolve);
  });
  server.port = (listener.address() as AddressInfo).port;
  t.teardown(() => {
    listener.close();
    for (const socket of sockets) socket.destroy();
  });
  return server;
}

function arrivesAs({ body }: Message): string {
  return show(parser.parse(body) ?? {});
}

sinkContract(t, {
  name: 'mongodb',
  arrivesAs,
  async create(t) {
    const server = await startMongo(t);
    const proxy = await startFaultProxy(t, { targetPort: server.port });
    return {
      sink: createSink(proxy.port),
      arrived: () => [...server.documents.values()].map(show),
      breakDown: () => {
        proxy.cut();
      },
      mend() {
        proxy.restore();
        server.judge = () => undefined;
      },
      stall: () => {
        proxy.blackHole();
      },
      refuse: () => {
        server.judge = () => 121;
      },
      refuseOne: (body) => {
        server.judge = (document) => (show(document) === body ? 112 : undefined);
      },
    };
  },
});

async function open(t: Test, port: number): Promise<Sink> {
  const sink = createSink(port);
  await sink.connect(never);
  t.teardown(() => sink.close());
  return sink;
}

void t.test('a document has the id of its message, and a repeat is there once', async (t) => {
  const server = await startMongo(t);
  const sink = await open(t, server.port);

  await sink.write([makeSinkMessage(1), makeSinkMessage(2)], never);
  await sink.write([makeSinkMessage(1), makeSinkMessage(3)], never);
  // Others that speak the protocol need not name the index.
  server.saysIndex = false;
  await sink.write([makeSinkMessage(2), makeSinkMessage(3)], never);
  await sink.write([makeSinkMessage(4, { id: '' })], never);

  t.same(
    [...server.documents.keys()].slice(0, 3),
    [1, 2, 3].map((n) => makeSinkMessage(n).id),
  );
  t.equal(server.documents.size, 4);
  t.equal(String(server.documents.get(makeSinkMessage(1).id)?.['Time']), '1790000000123456789');
});

void t.test('what is no document, or too large for one, is named and not sent, the others are taken', async (t) => {
  const server = await startMongo(t);
  const sink = await open(t, server.port);
  const message = (n: number, body: string) => makeSinkMessage(n, { body: Buffer.from(body) });
  server.judge = ({ Index }) => (Index === 5 ? 121 : undefined);

  await t.rejects(
    sink.write(
      [
        makeSinkMessage(1),
        message(2, '[1]'),
        message(3, '{"a":'),
        message(4, JSON.stringify({ a: 'x'.repeat(16 * 1024 * 1024) })),
        makeSinkMessage(5),
        makeSinkMessage(6),
      ],
      never,
    ),
    {
      code: 'sink-partial',
      failures: [
        { index: 1, reason: /JSON object/u },
        { index: 2 },
        { index: 3, reason: /at most 16777216/u },
        { index: 4, retryable: false, reason: /got 121/u },
      ],
    },
  );
  t.same([...server.documents.keys()], [makeSinkMessage(1).id, makeSinkMessage(6).id]);
});

void t.test('names that mean something to the client are stored as any other', async (t) => {
  const server = await startMongo(t);
  const sink = await open(t, server.port);
  const meta =
    '{"Meta":{"_bsontype":"ObjectId","id":[{"_bsontype":"Long","__proto__":1790000000123456789,"$ref":1,"$db":{"a.b":2}}]}}';
  const bodies = [meta, '{"\\u005fbsontype":5,"n":1}', '{"a\\u0000b":1,"$id\\u0000":{"_bsontype":null}}'];

  await sink.write(
    bodies.map((body, n) => makeSinkMessage(n, { body: Buffer.from(body) })),
    never,
  );

  t.same([...server.documents.values()].map(show), [
    meta,
    '{"_bsontype":5,"n":1}',
    '{"a\uFFFDb":1,"$id\uFFFD":{"_bsontype":null}}',
  ]);
  t.ok(server.documents.has(makeSinkMessage(1).id), 'also under the id of the message');
});

void t.test('a wrong password, missing rights and a server that is no primary wait and say what to do', async (t) => {
  const server = await startMongo(t);
  server.judgeCommand = (command) => ('saslStart' in command ? 18 : undefined);
  const stranger = createSink(server.port, { user: 'ann:wr0ng-secret@', options: '?authMechanism=SCRAM-SHA-256' });
  t.teardown(() => stranger.close());
  const error = await stranger.connect(never).then(
    () => undefined,
    (thrown: unknown) => thrown as Error,
  );
  t.match(error, { code: 'sink-retryable', message: /user or password in SINK_MONGODB_CONNECTION is wrong/u });
  t.notMatch(error?.message, /wr0ng-secret/u);

  const cases: readonly (readonly [number, RegExp])[] = [
    [13, /right to insert/u],
    [10_107, /not like this/u],
    [189, /not like this/u],
  ];
  for (const [code, message] of cases) {
    server.judgeCommand = (command) => ('insert' in command ? code : undefined);
    const sink = await open(t, server.port);
    await t.rejects(sink.write([makeSinkMessage(1)], never), { code: 'sink-retryable', message }, String(code));
  }
});

void t.test('answers that are none of MongoDB wait', async (t) => {
  for (const [name, bytes] of [
    ['closes', ''],
    ['closes in the middle', '\x50\x00\x00\x00'],
    ['speaks HTTP', 'HTTP/1.1 400 Bad Request\r\n\r\n<html>'],
  ] as const) {
    const listener = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => {
        socket.end(bytes);
      });
    });
    await new Promise<void>((resolve) => {
      listener.listen(0, '127.0.0.1', resolve);
    });
    t.teardown(() => {
      listener.close();
    });
    const sink = createSink((listener.address() as AddressInfo).port, { options: '?serverSelectionTimeoutMS=300' });
    t.teardown(() => sink.close());

    await t.rejects(
      sink.connect(never),
      { code: 'sink-retryable', message: /Expected MongoDB to take documents, got/u },
      name,
    );
  }
});

void t.test('whole numbers keep their digits, texts are left alone', (t) => {
  const cases = [
    '{"a":1790000000123456789,"b":-9223372036854775808,"c":9223372036854775807}',
    '{"text":"1790000000123456789 \\" 1790000000123456789","1790000000123456789":[1790000000123456789]}',
    '{"small":9007199254740991,"zero":0,"negative":-1,"fraction":1.5}',
  ];
  for (const json of cases) t.equal(show(parser.parse(Buffer.from(json)) ?? {}), json);
  t.same(parser.parse(Buffer.from('{"a":92233720368547758080,"b":1.00000000000000000001,"c":1e21}')), {
    a: 92233720368547758080,
    b: 1,
    c: 1e21,
  });
  for (const json of ['', 'null', '1', '[]', '"x"', '{']) t.equal(parser.parse(Buffer.from(json)), undefined);
  t.equal((parser.parse(Buffer.from(`{"a":"${'\\\\'.repeat(4_000_000)}"}`))?.['a'] as string).length, 4_000_000);
  t.end();
});

void t.test('what MongoDB says of documents and of calls decides', (t) => {
  const duplicate = 'E11000 duplicate key error collection: nomad.events index: _id_ dup key: { _id: "a" }';
  const cases: readonly (readonly [readonly (readonly [number, number, string?])[], object | undefined])[] = [
    [
      [
        [0, 11_000, duplicate],
        [1, 11_000, duplicate],
      ],
      undefined,
    ],
    [
      [[1, 11_000, 'E11000 duplicate key error collection: nomad.events index: Index_1 dup key: { Index: 1 }']],
      { code: 'sink-partial', failures: [{ index: 7, retryable: false }] },
    ],
    [
      [
        [0, 11_000, duplicate],
        [1, 121],
      ],
      { code: 'sink-partial', failures: [{ index: 7, retryable: false }] },
    ],
    [[[0, 112]], { code: 'sink-partial', failures: [{ index: 5, retryable: true }] }],
    [
      [
        [0, 112],
        [1, 13],
      ],
      { code: 'sink-retryable' },
    ],
    [
      [
        [0, 57],
        [1, 52],
      ],
      { code: 'sink-partial' },
    ],
    [
      [
        [0, 11_000, 'E11000 duplicate key error'],
        [1, 11_000, 'E11000 duplicate key error'],
      ],
      { code: 'sink-partial', failures: [{ index: 7, retryable: false }] },
    ],
  ];
  for (const [failures, expected] of cases) {
    const judged = judgeWriteFailures(
      failures.map(([index, code, errmsg = 'no']) => ({ index, code, errmsg })),
      [5, 7],
      ({ index }) => index === 0,
    );
    if (expected === undefined) t.equal(judged, undefined);
    else t.match(judged, expected);
  }
  const named = (name: string, code?: number): Error =>
    Object.assign(new Error('no'), { name, ...(code === undefined ? {} : { code }) });
  const calls: readonly (readonly [Error, string, RegExp])[] = [
    [named('BSONError'), 'sink-permanent', /BSONError/u],
    [named('MongoNetworkError'), 'sink-retryable', /MongoNetworkError/u],
    [named('MongoServerError', 18), 'sink-retryable', /SINK_MONGODB_CONNECTION/u],
    [named('MongoServerError', 13), 'sink-retryable', /right to insert/u],
    [named('MongoServerSelectionError'), 'sink-retryable', /Selection/u],
  ];
  for (const [error, code, message] of calls)
    t.match({ code: errorCode(judgeCall(error)), message: judgeCall(error).message }, { code, message });
  t.end();
});
