#!/usr/bin/env -S node --max-semi-space-size=4
/** Hydrant in one process. */
import { readFirehoseOptions } from '@hydrant/firehose/config';
import { makeTerminalSafe } from '@hydrant/shared/foundation/visible-text';
import { doctorCommand } from '@hydrant/shared/runtime/doctor';
import { sendTestHelp } from '@hydrant/shared/delivery/send-test';
import { createLineWriter } from '@hydrant/shared/runtime/line-writer';
import { runService, type Command } from '@hydrant/shared/runtime/run-service';
import { version } from '@hydrant/shared/runtime/version';
import { deadLettersUsage } from '@hydrant/sink-worker/dead-letters/request';
import { removeQueueHelp } from '@hydrant/sink-worker/remove-queue';
import { deadLetters, removeQueue, sendTests } from './commands.ts';
import { printStandaloneConfig, readParts, standaloneInput, standaloneSchema } from './config.ts';
import { examineStandalone } from './examine-standalone.ts';
import { fileVariable } from './nomad-events-sink-config.ts';
import { createStandalone } from './standalone.ts';
import { tail } from './tail/tail-command.ts';
import { readTailRequest, tailHelp } from './tail/tail-request.ts';

const tailCommand: Command<ReturnType<typeof standaloneSchema>> = {
  name: 'tail',
  doc: 'Shows what happens in Nomad, an event a line, with --topic, --job, --namespace, --json; `tail --help` tells more.',
  help: tailHelp,
  requiresSettings: false,
  async run(config, { args, clock, signal }) {
    const request = readTailRequest(args);
    const note = (text: string): void => {
      process.stderr.write(`hydrant tail: ${makeTerminalSafe(text)}\n`);
    };
    await tail(readFirehoseOptions(config), request, {
      out: createLineWriter(process.stdout),
      withColours: process.stdout.isTTY,
      note,
      clock,
      signal,
    });
  },
};

await runService({
  name: 'hydrant',
  version,
  schema: (lookup, env) => standaloneSchema(env, lookup),
  input: standaloneInput,
  printConfig: printStandaloneConfig,
  create: (config, context) => createStandalone(config, readParts(context.env, config), context),
  options: [{ name: 'config', setting: fileVariable, doc: "nomad-events-sink's config.toml, taken as it is" }],
  commands: [
    doctorCommand(examineStandalone),
    tailCommand,
    {
      name: 'dead-letters',
      doc: 'list, replay or drop what could not be delivered; `dead-letters --help` tells how.',
      help: deadLettersUsage,
      requiresSettings: false,
      run: deadLetters,
    },
    {
      name: 'remove-queue',
      doc: 'Removes the queue of a sink that is no longer in the settings (--queue NAME), with --force also one that is not empty.',
      help: removeQueueHelp,
      run: removeQueue,
    },
    {
      name: 'send-test',
      doc: 'Sends one example to each sink, or to those that are named, and says what came back; with --resolved the end of the example alert.',
      help: `  NAME …      only to the sinks of these names\n${sendTestHelp}`,
      run: sendTests,
    },
  ],
});
