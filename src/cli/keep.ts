import { text } from 'node:stream/consumers';
import { keepWorker } from '../agent/keeper/keeper.ts';
import { guestPlace, sandboxPlace, type Place } from '../agent/keeper/place.ts';
import type { KeeperOrders } from '../agent/worker-dir.ts';
import { builderDriver } from './build/builder-driver.ts';
import { SANDBOX_DRIVERS } from '../drivers/sandbox/drivers.ts';

/**
 * The keeper's program, started by the agent: orders as JSON on standard input; the worker's
 * directory as its argument, by which it can be found.
 */
const orders = JSON.parse(await text(process.stdin)) as KeeperOrders;
await keepWorker(orders, await placeOf(orders.place));
process.exit(0);

async function placeOf(place: KeeperOrders['place']): Promise<Place> {
  if (place.kind === 'guest') return guestPlace(place.access);
  const { sandbox, environment, build } = place;
  const driver = build === undefined ? SANDBOX_DRIVERS[sandbox] : builderDriver(build);
  if (driver === undefined) throw new Error(`there is no sandbox ${sandbox}`);
  return sandboxPlace(await driver.open(), environment);
}
