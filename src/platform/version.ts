import { readFileSync } from 'node:fs';

/** Version of this Pomona, from its package.json, which stands two folders up in both layouts. */
export const VERSION: string = (
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  }
).version;
