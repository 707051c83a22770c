import { z } from 'zod';
import { digestSchema, imageNameSchema } from './values.ts';

/**
 * How hosts share the bringing of images: an agent asks, with the images that its host should have, whose turn
 * it is to bring each from the remote, and which hosts give chunks of them. A turn ends when it is asked
 * again without the image, or is not asked for a while.
 */
export const IMAGE_TURNS_PATH = '/agent/v1/images/turns';

export const imageTurnsRequestSchema = z.strictObject({
  images: z.array(imageNameSchema).max(1_000),
});

/** `HOST:PORT`. */
export const peerAddressSchema = z
  .string()
  .max(255)
  .regex(/^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):\d{1,5}$/, 'expected HOST:PORT');

export const imageTurnsSchema = z.strictObject({
  /** Images that this host may bring from the remote now. */
  turns: z.array(imageNameSchema),
  peers: z.array(z.strictObject({ address: peerAddressSchema, digests: z.array(digestSchema) })),
});
export type ImageTurns = z.output<typeof imageTurnsSchema>;
