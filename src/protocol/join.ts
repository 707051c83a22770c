import { z } from 'zod';
import { nameSchema } from './values.ts';

/** `POST /agent/v1/join` with a join token as bearer token: gives the host its own credential. */
export const JOIN_PATH = '/agent/v1/join';

export const joinRequestSchema = z.strictObject({
  /** The host's name; the same name joins again after a reinstall, which ends the old credential. */
  name: nameSchema,
});

export const joinResponseSchema = z.object({
  hostId: z.string(),
  fleet: z.string(),
  credential: z.string(),
});
