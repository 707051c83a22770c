import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { SANDBOX_DRIVERS } from '../../src/drivers/sandbox/drivers.ts';
import { macosDriver, type MacosKind } from '../../src/drivers/sandbox/macos-user/macos-user.ts';
import type { SandboxCommand, SandboxSpec } from '../../src/drivers/sandbox/sandbox.ts';
import { startCommand } from '../../src/platform/start-command.ts';

/**
 * A process of its own that runs one command in a sandbox: orders as JSON on standard input. It
 * prints the command's output, then a line `ended CODE`. Tests kill it, or run it as someone else.
 */
const orders = JSON.parse(await text(process.stdin)) as {
  driver: string;
  macos?: MacosKind;
  spec: SandboxSpec;
  command: SandboxCommand;
};
const { macos } = orders;
const driver = macos === undefined ? SANDBOX_DRIVERS[orders.driver] : macosDriver(macos);
if (driver === undefined) throw new Error(`there is no sandbox ${orders.driver}`);
const sandbox = await driver.open();
await sandbox.prepare(orders.spec);
const child = await startCommand(await sandbox.launch(orders.spec, orders.command));
const exit = once(child, 'exit') as Promise<[number | null]>;
for await (const chunk of child.stdout ?? []) process.stdout.write(chunk as Buffer);
process.stdout.write(`ended ${(await exit)[0]}\n`);
await sandbox.destroy(orders.spec);
