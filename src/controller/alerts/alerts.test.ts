import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ControllerFixture, heldLease } from '../../../test/controller-fixture.ts';
import { getSetting } from '../../db/queries/settings.ts';
import { change } from '../context.ts';
import { Secrets } from '../secrets.ts';
import { AlertSender } from './alerts.ts';

test('what happens is told once each, in order, signed, also when the target failed or the controller ended', async (t) => {
  const fixture = await ControllerFixture.make(t);
  const { context } = fixture;
  const secrets = new Secrets(context, Buffer.alloc(32));
  await secrets.set('ALERTS', 'a secret');
  const heard: { alert: string; text: string }[] = [];
  let fails = 0;
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => (body += String(chunk)));
    request.on('end', () => {
      const signature = createHmac('sha256', 'a secret').update(body).digest('hex');
      assert.equal(request.headers['pomona-signature'], `sha256=${signature}`);
      fails -= 1;
      if (fails < 0) heard.push(JSON.parse(body) as (typeof heard)[number]);
      response.writeHead(fails < 0 ? 204 : 500).end();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const target = { name: 'chat', url, secret: 'ALERTS' };
  const lease = await heldLease(context, 'alerts chat');
  const happens = (kind: 'host' | 'pool', subject: string, state: string, reason?: string) =>
    change(context, ({ event }) => event(kind, subject, state, reason));
  const until = async (count: number, sender: AlertSender) => {
    for (let tries = 0; heard.length < count && tries < 500; tries += 1) {
      // So that it never rests.
      fixture.time.monotonic += 1_000_000;
      sender.wake();
      await sleep(10);
    }
    assert.equal(heard.length, count);
  };

  await happens('host', 'mac-0', 'quarantined');
  let sender = new AlertSender(context, target, { lease, secrets });
  while ((await getSetting(context.db, 'alerts-after chat')) === undefined) await sleep(5);
  await happens('host', 'mac-1', 'online');
  await happens('host', 'mac-1', 'quarantined', '5 of 5 failed there');
  await until(1, sender);
  assert.equal(heard[0]?.alert, 'host-quarantined');
  assert.equal(heard[0].text, 'Pomona: host mac-1 is quarantined (5 of 5 failed there)');

  fails = 1;
  await happens('pool', 'macs', 'rollout-back', 'by itself');
  await until(2, sender);
  assert.equal(fails, -1, 'it failed once before');
  await sender.close();
  await happens('host', 'mac-2', 'disk-low');
  sender = new AlertSender(context, target, { lease, secrets });
  await until(3, sender);
  await sender.close();
  assert.deepEqual(
    heard.map(({ alert }) => alert),
    ['host-quarantined', 'rollout-back', 'host-disk-low'],
  );
});
