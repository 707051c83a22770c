import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dhcpWarning, leaseSecondsIn, leasesIn } from './dhcp-leases.ts';

test('leases are exact by address', () => {
  const block = (address: string) =>
    `{\n\tname=vm\n\tip_address=${address}\n\thw_address=1,5e:0:0:0:0:1\n\tlease=0x65a\n}\n`;
  assert.equal(leasesIn(''), 0);
  assert.equal(leasesIn(block('192.168.64.2') + block('192.168.64.3') + block('192.168.64.2')), 2);
});

test('the lease time is that of the settings, or else a day', () => {
  assert.equal(leaseSecondsIn('{\n    DHCPLeaseTimeSecs = 600;\n}\n'), 600);
  assert.equal(leaseSecondsIn('{\n}\n'), 86_400);
});

test('long leases are warned of with what to do, short ones are not', () => {
  assert.equal(dhcpWarning({ leases: 250, leaseSeconds: 600 }), undefined);
  const warning = dhcpWarning({ leases: 97, leaseSeconds: 86_400 }) ?? '';
  assert.match(warning, /for 24 h and has 253: 97 are taken.*DHCPLeaseTimeSecs -int 600/);
});
