import { z } from 'zod';

/** A list, and the cursor of the next one when there is more. */
export function page<T extends z.ZodType>(item: T) {
  return z.object({ items: z.array(item), next: z.string().optional() });
}
