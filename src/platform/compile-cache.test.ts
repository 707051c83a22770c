import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileCacheDir } from './compile-cache.ts';

test('compiled code is kept where only its user can write, never in a shared directory', () => {
  assert.equal(compileCacheDir({}, 'linux', 1000, '/home/ann'), '/home/ann/.cache/pomona/code');
  const xdg = { XDG_CACHE_HOME: '/fast/cache' };
  assert.equal(compileCacheDir(xdg, 'linux', 1000, '/home/ann'), '/fast/cache/pomona/code');
  assert.equal(compileCacheDir(xdg, 'linux', 0, '/root'), '/var/cache/pomona/code');
  assert.equal(
    compileCacheDir({}, 'darwin', 501, '/Users/ann'),
    '/Users/ann/Library/Caches/Pomona/code',
  );
  assert.equal(compileCacheDir({}, 'darwin', 0, '/var/root'), '/Library/Caches/Pomona/code');
});
