import { userInfo } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { BUILD_ORDER_VARIABLE, type BuildPlace } from '../agent/builds/build-sandbox.ts';
import { parseSpec } from '../builder/spec/parse.ts';
import { parseStoreSpec } from '../drivers/store/spec.ts';
import { buildOrderSchema } from '../protocol/session.ts';
import { Interruption } from './build/interruption.ts';
import { useBuilder } from './build/open-builder.ts';
import { BuildMarks, withoutMarks } from './build/marks.ts';
import { jsonPrinter, PlainPrinter } from './build/progress.ts';
import { writeOut } from './standard-output.ts';

/**
 * The program that builds for a job, in the job's directory: where to build as JSON in its first
 * argument, the order with the values of secrets in its environment. With `--recover` it only removes
 * what builders that are gone left.
 */
const [, , placeText = '{}', mode] = process.argv;
const place = JSON.parse(placeText) as BuildPlace;
const where = {
  store: parseStoreSpec(place.store),
  imagesDir: place.imagesDir,
  contextDir: process.cwd(),
  limits: {},
  hostBases: false,
};

const handedSchema = z.strictObject({
  order: buildOrderSchema,
  secretValues: z.record(z.string(), z.string()),
});

if (mode === '--recover') await useBuilder(where, AbortSignal.abort(), async () => undefined);
else process.exitCode = await build();

async function build(): Promise<number> {
  const { order, secretValues } = handedSchema.parse(JSON.parse(taken(BUILD_ORDER_VARIABLE)));
  const secrets = new Map(
    Object.entries(order.secrets).map(([id, name]) => [id, Buffer.from(secretValues[name] ?? '')]),
  );
  // Credentials for registries are the host's, and for trusted builds.
  if (!order.untrusted) process.env['DOCKER_CONFIG'] ??= join(userInfo().homedir, '.docker');
  const printer = withoutMarks(
    order.format === 'json' ? jsonPrinter(writeOut) : new PlainPrinter(writeOut, false),
  );
  const marks = new BuildMarks(writeOut);
  const stop = new Interruption();
  try {
    const parsed = parseSpec(order.spec, order.file);
    return await useBuilder(where, stop.again, async (builder) => {
      stop.builder = builder;
      const begun = performance.now();
      const outcome = await builder.build({
        ...{ parsed, secrets, contextDir: where.contextDir },
        trust: order.untrusted ? 'untrusted' : 'trusted',
        noCache: order.noCache,
        signal: stop.once,
        onEvent: async (event) => {
          const { build: path, index } = event.place;
          await marks.event(event);
          const hint = order.hints[index];
          if (event.type === 'done' && path.length === 0 && hint !== undefined) {
            builder.index.saveHint(hint, event.id);
          }
          return printer.event(event);
        },
      });
      if (outcome.outcome === 'succeeded') await builder.flush();
      await marks.outcome(outcome, (id) => {
        const row = builder.index.result(id);
        return row === undefined ? undefined : builder.bytesOf(row);
      });
      printer.outcome(outcome, performance.now() - begun);
      return { succeeded: 0, failed: 1, cancelled: 130 }[outcome.outcome];
    });
  } catch (error) {
    process.stderr.write(`pomona: ${(error as Error).message}\n`);
    return 1;
  } finally {
    stop.end();
  }
}

/** A variable that nothing started from here is to see. */
function taken(name: string): string {
  const value = process.env[name] ?? '';
  delete process.env[name];
  return value;
}
