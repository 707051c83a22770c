import assert from 'node:assert/strict';
import { glob } from 'node:fs/promises';
import { test } from 'node:test';
import { CI_DRIVERS } from '../src/drivers/ci/drivers.ts';
import { FETCH_DRIVERS } from '../src/drivers/fetch/drivers.ts';
import { SANDBOX_DRIVERS } from '../src/drivers/sandbox/drivers.ts';
import { STORE_DRIVERS } from '../src/drivers/store/drivers.ts';
import { VM_DRIVERS } from '../src/drivers/vm/drivers.ts';

const FAMILIES: Readonly<Record<string, readonly { readonly name: string }[]>> = {
  ci: Object.values(CI_DRIVERS),
  fetch: FETCH_DRIVERS,
  sandbox: Object.values(SANDBOX_DRIVERS),
  store: Object.values(STORE_DRIVERS),
  vm: Object.values(VM_DRIVERS),
};

for (const [family, drivers] of Object.entries(FAMILIES)) {
  test(`every driver in the folder of ${family} is offered, under its own name`, async () => {
    const names: string[] = [];
    const root = new URL(`../src/drivers/${family}/`, import.meta.url);
    for await (const file of glob('**/*.ts', { cwd: root })) {
      if (file.endsWith('.test.ts') || file === 'drivers.ts') continue;
      const module = (await import(new URL(file, root).href)) as Record<string, unknown>;
      for (const [name, made] of Object.entries(module)) {
        if (!name.endsWith('Driver')) continue;
        const driver = (typeof made === 'function' ? made({ offered: true }) : made) as object;
        // What makes drivers of a kind that it is told is none itself.
        if ('name' in driver && typeof driver.name === 'string') names.push(driver.name);
      }
    }
    assert.deepEqual(drivers.map(({ name }) => name).toSorted(), names.toSorted());
  });
}

test('drivers of maps are under their names', () => {
  for (const map of [CI_DRIVERS, SANDBOX_DRIVERS, STORE_DRIVERS]) {
    for (const [key, { name }] of Object.entries(map)) assert.equal(key, name);
  }
});
