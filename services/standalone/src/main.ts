#!/usr/bin/env node
/** Hydrant in one process. */
import { runService } from '@hydrant/shared/runtime/run-service';
import { version } from '@hydrant/shared/runtime/version';
import { readSinks, standaloneInput, standaloneSchema } from './config.ts';
import { createStandalone } from './standalone.ts';

await runService({
  name: 'hydrant',
  version,
  schema: (lookup, env) => standaloneSchema(env, lookup),
  input: standaloneInput,
  create: (config, context) => createStandalone(config, readSinks(context.env, config), context),
});
