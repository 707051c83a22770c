import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultDataDir } from './data-dir.ts';

test('the data directory is where the platform keeps such data', () => {
  assert.equal(defaultDataDir({}, 'linux', 0, '/root'), '/var/lib/pomona');
  assert.equal(defaultDataDir({}, 'linux', 7, '/home/a'), '/home/a/.local/share/pomona');
  assert.equal(defaultDataDir({ XDG_DATA_HOME: '/x' }, 'linux', 7, '/home/a'), '/x/pomona');
  assert.equal(defaultDataDir({}, 'darwin', 0, '/'), '/Library/Application Support/Pomona');
  assert.equal(
    defaultDataDir({}, 'darwin', 501, '/Users/a'),
    '/Users/a/Library/Application Support/Pomona',
  );
});

test('POMONA_DATA overrides it', () => {
  assert.equal(defaultDataDir({ POMONA_DATA: '/d' }, 'linux', 0, '/root'), '/d');
});
