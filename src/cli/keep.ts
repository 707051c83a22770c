import { text } from 'node:stream/consumers';
import { keepWorker } from '../agent/keeper/keeper.ts';
import type { KeeperOrders } from '../agent/worker-dir.ts';
import { builderDriver } from './build/builder-driver.ts';
import { SANDBOX_DRIVERS } from '../drivers/sandbox/drivers.ts';

/**
 * The keeper's program, started by the agent: orders as JSON on standard input; the worker's
 * directory as its argument, by which it can be found.
 */
const orders = JSON.parse(await text(process.stdin)) as KeeperOrders;
const driver =
  orders.build === undefined ? SANDBOX_DRIVERS[orders.sandbox] : builderDriver(orders.build);
if (driver === undefined) throw new Error(`there is no sandbox ${orders.sandbox}`);
await keepWorker(orders, await driver.open());
process.exit(0);
