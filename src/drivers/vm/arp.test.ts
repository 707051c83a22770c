import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressIn } from './arp.ts';

test('a card is found in the table of neighbours, with or without leading zeros', () => {
  const table = `? (10.211.55.2) at 0:1c:42:a:b:c on bridge100 ifscope [bridge]
? (10.211.55.7) at (incomplete) on bridge100 ifscope [bridge]
? (10.211.55.9) at 00:1c:42:00:00:01 [ether] on eth0
? (192.168.64.5) at 0:1c:42:a:b:c on bridge101 ifscope [bridge]
`;
  assert.equal(addressIn(table, '001C420A0B0C'), '192.168.64.5');
  assert.equal(addressIn(table, '00:1c:42:00:00:01'), '10.211.55.9');
  assert.equal(addressIn(table, '001c42ffffff'), undefined);
});
