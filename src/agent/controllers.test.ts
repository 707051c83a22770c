import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Controllers } from './controllers.ts';

test('the next controller is taken when the one in use fails, and the first after the last', () => {
  const controllers = new Controllers('http://a:1, http://b:2');
  assert.equal(controllers.current, 'http://a:1');
  controllers.failed('http://a:1');
  controllers.failed('http://a:1');
  assert.equal(controllers.current, 'http://b:2', 'told twice, it moves once');
  controllers.failed('http://b:2');
  assert.equal(controllers.current, 'http://a:1');
});
