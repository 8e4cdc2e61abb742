/** What `hydrant doctor` looks at: Nomad, the folder, and each sink. */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { readFirehoseOptions } from '@hydrant/firehose/config';
import { examineNomad } from '@hydrant/firehose/source/examine-nomad';
import { errorCode } from '@hydrant/shared/foundation/errors';
import { examineSink } from '@hydrant/shared/delivery/examine-sink';
import type { Examination, Finding } from '@hydrant/shared/runtime/doctor';
import type { ServiceContext } from '@hydrant/shared/runtime/run-service';
import { readParts, type StandaloneConfig } from './config.ts';
import { describeUnread, findUnread, type LogPlaces } from './remove-queue.ts';
import { logFolder, readQueues } from './standalone.ts';

/** The folder, or the nearest one above it that exists, in which it would be made. */
async function examineFolder(folder: string): Promise<Finding> {
  const subject = `folder ${folder}`;
  for (let path = resolve(folder); ; path = dirname(path)) {
    try {
      await access(path, constants.R_OK | constants.W_OK | constants.X_OK);
      return {
        subject,
        isWell: true,
        detail: path === resolve(folder) ? 'may be written' : 'is not there yet and may be made',
      };
    } catch (thrown) {
      if (errorCode(thrown) === 'ENOENT' && path !== dirname(path)) continue;
      return {
        subject,
        isWell: false,
        detail: `cannot be written (${path}: ${errorCode(thrown) ?? 'unknown'}); give it to the user that runs Hydrant, or set DATA_DIR to another`,
      };
    }
  }
}

/** A queue that nobody reads fills the log. */
async function examineQueues(places: Pick<LogPlaces, 'logDir' | 'readers'>): Promise<readonly Finding[]> {
  const unread = await findUnread(places);
  return unread.map((state) => ({
    subject: `queue ${state.name}`,
    isWell: false,
    detail: `${describeUnread(state)}, and no sink reads it; put its sink back, or give it up with \`hydrant remove-queue --queue ${state.name} --force\``,
  }));
}

export function examineStandalone(
  config: StandaloneConfig,
  { env, log, clock }: ServiceContext,
): readonly Examination[] {
  const folder: Examination = {
    subject: `folder ${config.DATA_DIR}`,
    advice: 'look at DATA_DIR',
    examine: async () => [await examineFolder(config.DATA_DIR)],
  };
  const { sinks: configured } = readParts(env, config);
  const places = { logDir: logFolder(config), readers: readQueues(configured) };
  const queues: Examination = {
    subject: `log ${places.logDir}`,
    advice: 'look at DATA_DIR',
    examine: () => examineQueues(places),
  };
  const sinks = configured.map(({ definition, values, worker: { delivery } }) =>
    examineSink(`sink ${delivery.name}`, definition.create(values, { log, name: delivery.name })),
  );
  return [...examineNomad(readFirehoseOptions(config), clock), folder, queues, ...sinks];
}
