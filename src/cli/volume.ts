import { Command, Option } from 'commander';
import { Volumes, type VolumeInfo } from '../agent/volumes/volumes.ts';
import { STORE_DRIVERS } from '../drivers/store/drivers.ts';
import { agentDirOf, withImages, type ImageOptions } from './image/places.ts';
import { UsageError } from './errors.ts';
import { ago, printJson, printTable, size } from './output.ts';

interface Options extends ImageOptions {
  readonly trust?: string;
}

export function command(): Command {
  const volume = new Command('volume').description(
    'look at the volumes of this host: caches of pools that outlive workers',
  );
  withImages(volume.command('list')).description('list volumes').action(list);
  withImages(volume.command('remove <pool> <name>'))
    .description('begin a volume anew, for the workers to come')
    .addOption(
      new Option(
        '--trust <level>',
        'only that of trusted or of untrusted pools (default: both)',
      ).choices(['trusted', 'untrusted']),
    )
    .addHelpText(
      'after',
      `
What workers have of it now is dropped with them. One that is exclusive and in use is not removed.

Example:
  pomona volume remove macs ccache`,
    )
    .action(remove);
  return volume;
}

function volumesOf(options: Options): Volumes {
  return new Volumes({ stores: STORE_DRIVERS, dataDir: agentDirOf(options) });
}

async function list(options: Options): Promise<void> {
  const all = await volumesOf(options).list();
  if (options.json === true) return printJson(all);
  printTable(
    ['POOL', 'NAME', 'TRUST', 'MODE', 'SIZE', 'USED', 'WORKER'],
    all.map(({ pool, name, trust, mode, bytes, usedAt, holder }) => [
      ...[pool, name, trust, mode, size(bytes), ago(usedAt), holder ?? ''],
    ]),
  );
}

async function remove(pool: string, name: string, options: Options): Promise<void> {
  const volumes = volumesOf(options);
  const all = await volumes.list();
  const { trust } = options;
  const found = all.filter(
    (each) => each.pool === pool && each.name === name && (trust ?? each.trust) === each.trust,
  );
  if (found.length === 0) {
    const there = [...new Set(all.map((each) => `${each.pool} ${each.name}`))].join(', ');
    throw new UsageError(
      `this host has no volume ${name} of pool ${pool} (there are: ${there || 'none'})`,
    );
  }
  for (const { key } of found) await volumes.forget(key);
  if (options.json === true) return printJson(found satisfies VolumeInfo[]);
  process.stdout.write(`volume ${name} of pool ${pool} begins anew\n`);
}
