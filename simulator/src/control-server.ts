/**
 * The control object for other processes: `POST /control/<action>?<parameter>=…` and `GET /control/state`, each
 * answered with the state as JSON. Always on the loopback address, whatever the simulator itself listens on.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describeError, HydrantError } from '@hydrant/shared/foundation/errors';
import type { SimulatorControl } from './control.ts';
import type { ListFault } from './faults.ts';
import { listen } from './nomad-server.ts';
import { readUrl } from './requests.ts';

type Action = (control: SimulatorControl, parameters: URLSearchParams) => void | Promise<void>;

export const LOOPBACK = '127.0.0.1';
const PREFIX = '/control/';

const actions: Readonly<Record<string, Action>> = {
  cut: (control, parameters) => {
    control.cut(oneOf(parameters, 'how', ['end', 'reset']));
  },
  'cut-mid-line': (control) => {
    control.cutMidLine();
  },
  stall: (control) => control.stall(),
  refuse: (control) => control.refuse(),
  error: (control) => control.answerError(),
  html: (control) => control.answerHtml(),
  deny: (control, parameters) => control.deny({ lists: oneOf(parameters, 'lists', ['true', 'false']) !== 'false' }),
  restrict: (control, parameters) => {
    control.restrict(parameters.getAll('refuse'));
  },
  heal: (control) => control.heal(),
  evict: (control, parameters) => {
    control.evict(readIndex(parameters));
  },
  restart: (control, parameters) => {
    control.restart({ indexes: oneOf(parameters, 'indexes', ['kept', 'anew']) ?? 'kept' });
  },
  'break-list': (control, parameters) => {
    control.breakList(readName(parameters), readListFault(parameters));
  },
  'save-snapshot': (control) => {
    control.saveSnapshot();
  },
  'restore-snapshot': (control) => {
    control.restoreSnapshot();
  },
  pause: (control) => {
    control.pause();
  },
  resume: (control) => {
    control.resume();
  },
  namespace: (control, parameters) => {
    control.addNamespace(readName(parameters));
  },
};

export class ControlServer {
  readonly #server: Server;

  constructor(control: SimulatorControl) {
    this.#server = createServer((request, response) => {
      handle(control, request, response).catch((error: unknown) => {
        answer(response, 400, { error: describeError(error) });
      });
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async listen(port: number): Promise<void> {
    await listen(this.#server, LOOPBACK, port);
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
    this.#server.closeAllConnections();
    await closed;
  }
}

async function handle(control: SimulatorControl, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname, searchParams } = readUrl(request);
  const name = pathname.startsWith(PREFIX) ? pathname.slice(PREFIX.length) : '';
  if (name === 'state' && request.method === 'GET') {
    answer(response, 200, control.state);
    return;
  }
  const action = Object.hasOwn(actions, name) ? actions[name] : undefined;
  if (action === undefined || request.method !== 'POST') {
    answer(response, 404, {
      error: `Expected GET ${PREFIX}state or POST ${PREFIX}<action> with one of ${Object.keys(actions).join(', ')}`,
    });
    return;
  }
  await action(control, searchParams);
  answer(response, 200, control.state);
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
}

function oneOf<const Word extends string>(
  parameters: URLSearchParams,
  name: string,
  words: readonly Word[],
): Word | undefined {
  const value = parameters.get(name);
  if (value === null) return undefined;
  const word = words.find((candidate) => candidate === value);
  if (word === undefined) throw wrongParameter(name, words.join(' or '), value);
  return word;
}

function readIndex(parameters: URLSearchParams): number {
  const value = parameters.get('index') ?? '';
  if (!/^\d+$/.test(value)) throw wrongParameter('index', 'a number', value);
  return Number(value);
}

/** None: the list is well again. */
function readListFault(parameters: URLSearchParams): ListFault | undefined {
  const fault = parameters.get('fault');
  return fault !== null && /^[1-5]\d\d$/.test(fault)
    ? Number(fault)
    : oneOf(parameters, 'fault', ['same-token', 'empty', 'null', 'malformed']);
}

function readName(parameters: URLSearchParams): string {
  const value = parameters.get('name') ?? '';
  if (value === '') throw wrongParameter('name', 'a name', value);
  return value;
}

function wrongParameter(name: string, expected: string, value: string): HydrantError {
  return new HydrantError(`Expected the parameter \`${name}\` to be ${expected}, got "${value}"`, {
    code: 'control-parameter',
    retryable: false,
  });
}
