/**
 * Everything that stores do, once; each thing done is a line of output. The process that runs this
 * is killed somewhere in it.
 */
import { writeSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { STORE_DRIVERS } from '../../src/drivers/store/drivers.ts';

const [, , name = '', root = ''] = process.argv;
const store = STORE_DRIVERS[name]?.open(root);
if (store === undefined) throw new Error(`there is no store ${name}`);
const did = (what: string) => writeSync(1, `${what}\n`);

await store.recover();
did('ready');
await store.createSnapshot('result.one', async (dir) => {
  for (const file of ['a', 'b', 'c']) await writeFile(join(dir, file), 'one');
});
did('one made');
const clone = await store.clone('result.one', 'step');
await writeFile(join(clone, 'b'), 'two');
did('step made');
await store.commit('step', 'result.two');
did('two made');
await store.withSnapshot('result.two', (dir) => readFile(join(dir, 'b'), 'utf8'));
await store.createClone('base');
await store.makePart('base', 'home');
await store.commit('base', 'base-image.three');
did('three made');
await store.clone('base-image.three', 'other');
await store.deleteClone('other');
did('removing');
await store.deleteSnapshot('base-image.three');
await store.deleteSnapshot('result.two');
await store.deleteSnapshot('result.one');
did('all done');
