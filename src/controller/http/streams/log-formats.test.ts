import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LOG_MEDIA_TYPE } from '../../../protocol/api/routes.ts';
import { formatFor } from './log-formats.ts';

describe('the format of a log', () => {
  it('is what the Accept header prefers, and text when it leaves the choice', () => {
    const cases: [string | undefined, string][] = [
      [undefined, 'text'],
      ['', 'text'],
      ['*/*', 'text'],
      ['image/png', 'text'],
      ['text/event-stream', 'events'],
      ['TEXT/Event-Stream; charset=utf-8', 'events'],
      [LOG_MEDIA_TYPE, 'frames'],
      ['application/*', 'frames'],
      [`text/plain;q=0.5, ${LOG_MEDIA_TYPE}`, 'frames'],
      [`text/event-stream;q=0.5, ${LOG_MEDIA_TYPE};q=0.4, */*;q=0.1`, 'events'],
    ];
    for (const [accept, name] of cases) assert.equal(formatFor(accept).name, name, String(accept));
  });
});
