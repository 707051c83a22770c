import { z } from 'zod';
import { configSchema } from './schema.ts';

/** The JSON Schema (2020-12) of `pomona.yaml`, for editors that complete and check it. */
export function configJsonSchema(): Record<string, unknown> {
  const { $schema, ...schema } = z.toJSONSchema(configSchema, { io: 'input' });
  return { $schema, title: 'pomona.yaml', description: 'Configuration of Pomona', ...schema };
}
