import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSlotLimit, leaseOf } from './prlctl.ts';

test('the last lease of a network card counts', () => {
  const leases = `[vnic0]
10.211.55.7="1763700000,1800,001c42aabbcc,01001c42aabbcc"
10.211.55.9="1763700900,1800,001C42AABBCC,01001c42aabbcc"
10.211.55.8="1763700000,1800,001c42000000,01001c42000000"
`;
  assert.equal(leaseOf('001c42aabbcc', leases), '10.211.55.9');
  assert.equal(leaseOf('001c42ffffff', leases), undefined);
});

test('the limit of the system on guests is known by its words and by its code', () => {
  assert.equal(isSlotLimit('Error Domain=VZErrorDomain Code=6 "..."'), true);
  assert.equal(
    isSlotLimit('The maximum supported number of active virtual machines has been reached.'),
    true,
  );
  assert.equal(isSlotLimit('Error Domain=VZErrorDomain Code=61'), false);
  assert.equal(isSlotLimit('The virtual machine is not valid.'), false);
});
