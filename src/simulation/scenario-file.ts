import { z } from 'zod';
import { FAULT_KINDS, type Scenario } from './scenario.ts';

const time = z.number().min(0);
const count = z.int().min(1).max(10_000);

const scenarioSchema = z.strictObject({
  seed: z.int(),
  hosts: count,
  controllers: count,
  jobs: z.array(
    z.strictObject({
      ...{ at: time, lengthMs: time, exitCode: z.int().min(0), retries: z.int().min(0) },
      ...{ team: z.string(), pool: z.enum(['macs', 'linux']), cancelAt: time.exactOptional() },
    }),
  ),
  faults: z.array(
    z.strictObject({ at: time, kind: z.enum(FAULT_KINDS), target: z.int().min(0), ms: time }),
  ),
});

/** Reads what `--keep-scenario` wrote; or says what is wrong with it, and where. */
export function parseScenario(text: string): Scenario | string {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return (error as Error).message;
  }
  const parsed = scenarioSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  return `${issue?.path.join('.')}: ${issue?.message}`;
}
