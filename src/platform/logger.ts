export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Log of the program itself (not of jobs). Fields must hold no secret. */
export interface Logger {
  log(level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>): void;
}

const ORDER: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

/** Writes lines such as `2026-01-02T03:04:05.678Z warn message key=value` to standard error. */
export function stderrLogger(least: LogLevel): Logger {
  return {
    log(level, message, fields = {}) {
      if (ORDER.indexOf(level) < ORDER.indexOf(least)) return;
      const rest = Object.entries(fields).map(([key, value]) => ` ${key}=${render(value)}`);
      process.stderr.write(`${new Date().toISOString()} ${level} ${message}${rest.join('')}\n`);
    },
  };
}

export const silentLogger: Logger = { log: () => undefined };

function render(value: unknown): string {
  if (value instanceof Error) return JSON.stringify(value.stack ?? value.message);
  return typeof value === 'string' && /^[\w./:@-]+$/.test(value) ? value : JSON.stringify(value);
}
