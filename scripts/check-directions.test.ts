import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wrongImports } from './check-directions.ts';

test('an import against the direction is named', () => {
  assert.deepEqual(wrongImports('domain/job.ts', "import { x } from '../platform/clock.ts';"), [
    'src/domain/job.ts imports src/platform/clock.ts',
  ]);
  assert.equal(
    wrongImports('agent/a.ts', "import { x } from '../drivers/store/copy.ts';").length,
    1,
  );
  assert.equal(wrongImports('drivers/vm/a.ts', "import { x } from '../store/store.ts';").length, 1);
});

test('an import along the direction is not', () => {
  assert.deepEqual(
    wrongImports('agent/a.ts', "import type { Store } from '../drivers/store/store.ts';"),
    [],
  );
  assert.deepEqual(wrongImports('cli/up.ts', "import { x } from '../db/sqlite.ts';"), []);
});
