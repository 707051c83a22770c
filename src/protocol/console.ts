import { z } from 'zod';

/**
 * A console is a WebSocket from the page to a controller, and one from the host's agent to the same
 * controller, which joins them. Binary messages are what the terminal or the screen says, both ways.
 * Text messages are JSON:
 *
 *   page       -> size      the terminal has another size now
 *   controller -> open      the host is there: from here on it is live
 *
 * Closing one closes the other; the reason says why, in words.
 */
export const AGENT_CONSOLE_PATH = '/agent/v1/consoles/';

export const consoleQuerySchema = z.strictObject({
  kind: z.enum(['shell', 'screen']).default('shell'),
  cols: z.coerce.number().int().min(2).max(1_000).default(80),
  lines: z.coerce.number().int().min(2).max(1_000).default(24),
});
export type ConsoleQuery = z.output<typeof consoleQuerySchema>;

export const consoleMessageSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('size'),
    cols: z.int().min(2).max(1_000),
    lines: z.int().min(2).max(1_000),
  }),
  z.strictObject({ type: z.literal('open') }),
]);
export type ConsoleMessage = z.output<typeof consoleMessageSchema>;

/** A text message as what it says; undefined: it is not understood, and left aside. */
export function parseConsoleMessage(text: string): ConsoleMessage | undefined {
  try {
    return consoleMessageSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
