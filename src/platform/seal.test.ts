import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { newSealKeys, openSealed, openWithKey, sealFor, sealWithKey } from './seal.ts';

test('what is sealed for a key opens with it, and only with it', () => {
  const keys = newSealKeys();
  const sealed = sealFor(keys.publicKey, Buffer.from('hush'));
  assert.equal(openSealed(keys.privateKey, sealed).toString(), 'hush');
  assert.throws(() => openSealed(newSealKeys().privateKey, sealed));
});

test('a sealed value is bound to what it is about and cannot be altered', () => {
  const key = randomBytes(32);
  const sealed = sealWithKey(key, Buffer.from('hush'), 'NPM_TOKEN');
  assert.equal(openWithKey(key, sealed, 'NPM_TOKEN').toString(), 'hush');
  assert.throws(() => openWithKey(key, sealed, 'OTHER'));
  const altered = Buffer.from(sealed, 'base64');
  altered[14] = (altered[14] ?? 0) ^ 1;
  assert.throws(() => openWithKey(key, altered.toString('base64'), 'NPM_TOKEN'));
});
