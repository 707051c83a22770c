import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe } from 'node:test';
import { SANDBOX_DRIVERS } from '../../src/drivers/sandbox/drivers.ts';
import { sandboxSuite, type Peculiarities } from './sandbox-suite.ts';
import { staticBusybox } from './root-file-system.ts';

const PECULIAR: Readonly<Record<string, Peculiarities>> = {
  process: { unprotected: true, seesHost: true },
  user: { seesHost: true },
  runc: {
    nothingLeft: ({ name }) => {
      const list = execFileSync('runc', ['--root', '/run/pomona/runc', 'list', '-q']);
      assert.equal(list.toString().includes(name), false);
    },
  },
};

for (const driver of Object.values(SANDBOX_DRIVERS)) {
  const report = await driver.probe();
  const sandbox = await driver.open();
  for (const kind of ['home', 'root'] as const) {
    if (!sandbox.capabilities.files[kind]) continue;
    const noRoot = kind === 'root' && staticBusybox() === undefined;
    const skip = !report.available ? report.detail : noRoot ? 'install busybox-static' : false;
    const title = `sandbox ${driver.name} over a ${kind === 'root' ? 'root file system' : 'home'}`;
    describe(title, { skip }, () =>
      sandboxSuite(driver.name, sandbox, kind, PECULIAR[driver.name] ?? {}),
    );
  }
}
