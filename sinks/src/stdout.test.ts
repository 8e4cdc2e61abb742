import { sinkContract, makeSinkMessage } from '@hydrant/shared/delivery/sink-contract';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { createStdoutSink } from './stdout.ts';

const never = new AbortController().signal;

/** Standard output as a pipe whose reader takes, waits, or is gone. */
class Pipe extends Writable {
  text = '';
  reader: 'reads' | 'waits' | 'gone' = 'reads';
  #onRead: () => void = () => undefined;

  constructor() {
    super({ autoDestroy: false, highWaterMark: 10 });
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    const take = (): void => {
      this.text += chunk.toString();
      done();
    };
    if (this.reader === 'reads') take();
    else if (this.reader === 'gone') done(new Error('write EPIPE'));
    else this.#onRead = take;
  }

  read(): void {
    this.reader = 'reads';
    this.#onRead();
  }
}

function linesOf(text: string): readonly string[] {
  return text.split('\n').slice(0, -1);
}

sinkContract(t, {
  name: 'stdout',
  without: {
    breakDown: 'a pipe whose reader is gone does not come back',
    refuse: 'a pipe takes every byte',
    refuseOne: 'a pipe takes every byte',
  },
  async create() {
    const pipe = new Pipe();
    return {
      sink: createStdoutSink(pipe),
      arrived: () => linesOf(pipe.text),
      stall: () => {
        pipe.reader = 'waits';
      },
    };
  },
});

void t.test('what waits for a slow reader is printed once, however often it is tried', async (t) => {
  const pipe = new Pipe();
  const sink = createStdoutSink(pipe);
  await sink.connect(never);
  const batch = [makeSinkMessage(1), makeSinkMessage(2)];
  pipe.reader = 'waits';

  const limit = new AbortController();
  const first = sink.write(batch, limit.signal);
  limit.abort();
  await t.rejects(first, { code: 'sink-retryable' });
  await t.rejects(sink.write([...batch], AbortSignal.abort()), { code: 'sink-retryable' });
  await t.rejects(sink.write([makeSinkMessage(3)], AbortSignal.abort()), { code: 'sink-retryable' });
  pipe.read();
  await sink.write([...batch], never);
  await sink.write([makeSinkMessage(3)], never);

  t.equal(linesOf(pipe.text).length, 3);
});

void t.test('a reader that is gone is an error, not the end', async (t) => {
  const pipe = new Pipe();
  const sink = createStdoutSink(pipe);
  await sink.connect(never);
  pipe.reader = 'gone';

  const failed = once(pipe, 'error');
  await t.rejects(sink.write([makeSinkMessage(1)], never), { retryable: true, message: /nobody does/u });
  await failed;
});

void t.test('a closed pipe is an error of each try and not the end of the process', async (t) => {
  const program = `
    import { createStdoutSink } from ${JSON.stringify(new URL('./stdout.ts', import.meta.url).href)};
    const sink = createStdoutSink(process.stdout);
    const signal = new AbortController().signal;
    await sink.connect(signal);
    process.once('message', async () => {
      const codes = [];
      for (let time = 0; time < 3; time += 1) {
        await sink.write([{ body: Buffer.from('{}') }], signal).then(() => codes.push('taken'), (error) => codes.push(error.code));
      }
      process.send(codes, () => process.disconnect());
    });
    process.send('ready');
  `;
  const loader = process.execArgv.filter(
    (argument) => argument.startsWith('--import') || argument.startsWith('--conditions'),
  );
  const child = spawn(process.execPath, [...loader, '--input-type=module', '--eval', program], {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  t.teardown(() => {
    child.kill('SIGKILL');
  });
  const exited = once(child, 'exit');

  await once(child, 'message');
  const { stdout } = child;
  if (stdout === null) throw new Error('Expected the process to have a pipe for its standard output');
  const closed = once(stdout, 'close');
  stdout.destroy();
  await closed;
  const said = once(child, 'message');
  child.send('write');

  // The first write may still go into the pipe: nobody has told the process yet.
  const [codes] = (await said) as [readonly string[]];
  t.same(codes.slice(1), ['sink-retryable', 'sink-retryable']);
  t.same((await exited)[0], 0);
});

void t.test('a terminal gets what it would obey as escapes, a pipe gets the bytes', async (t) => {
  const message = makeSinkMessage(1, { body: Buffer.from('{"Key":"a\u009b2J\u202e größer"}') });
  const pipe = new Pipe();
  const terminal = Object.assign(new Pipe(), { isTTY: true });

  for (const stdout of [pipe, terminal]) await createStdoutSink(stdout).write([message], never);

  t.equal(pipe.text, `${message.body.toString()}\n`);
  t.equal(terminal.text, `{"Key":"${String.raw`a\u009b2J\u202e größer`}"}\n`);
});
