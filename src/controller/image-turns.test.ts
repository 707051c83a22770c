import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ControllerFixture } from '../../test/controller-fixture.ts';
import { HostLinks } from './host-links.ts';
import { ImageTurnTaking } from './image-turns.ts';

test('two hosts bring an image at a time, and the next when one of them is done', async (t) => {
  const { context } = await ControllerFixture.make(t);
  const turns = new ImageTurnTaking(context, new HostLinks(context.clock));
  const take = async (host: string, ...images: string[]) => (await turns.take(host, images)).turns;
  assert.deepEqual(await take('h-1', 'a', 'b'), ['a', 'b']);
  assert.deepEqual(await take('h-2', 'a'), ['a']);
  assert.deepEqual(await take('h-3', 'a', 'b'), ['b']);
  assert.deepEqual(await take('h-1', 'a', 'b'), ['a', 'b'], 'a turn is kept');
  assert.deepEqual(await take('h-2'), []);
  assert.deepEqual(await take('h-3', 'a', 'b'), ['a', 'b']);
  assert.deepEqual(await take('h-4', 'a'), []);
});

test('a turn of which nothing is heard ends', async (t) => {
  const { context, time } = await ControllerFixture.make(t);
  const turns = new ImageTurnTaking(context, new HostLinks(context.clock));
  for (const host of ['h-1', 'h-2']) await turns.take(host, ['a']);
  assert.deepEqual((await turns.take('h-3', ['a'])).turns, []);
  time.monotonic += 121_000;
  assert.deepEqual((await turns.take('h-3', ['a'])).turns, ['a']);
});
