import { z } from 'zod';

/** A list, and the cursor of the next one when there is more. */
export function page<T extends z.ZodType>(item: T) {
  return z.object({ items: z.array(item), next: z.string().optional() });
}

/** Of routes that give pages. */
export const pageQuery = {
  /** At most this many. */
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  /** `next` of the page before. */
  after: z.string().max(256).optional(),
};
