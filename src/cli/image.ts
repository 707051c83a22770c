import { join, resolve } from 'node:path';
import { Command } from 'commander';
import { Images } from '../agent/images.ts';
import { defaultDataDir } from '../platform/data-dir.ts';
import { printJson, printTable } from './output.ts';

interface Options {
  readonly data?: string;
  readonly agentData?: string;
  readonly json?: boolean;
}

export function command(): Command {
  const image = new Command('image').description('images of this host');
  withAgentData(image.command('import <name> <dir>'))
    .description('make an image of a directory that holds `home`, `prefix` or both')
    .addHelpText(
      'after',
      `
The host's agent sees it at once, running or not. The same name imported again gives new workers
the new content.

Example:
  pomona image import ocaml-5 ./macos-homebrew-ocaml-5`,
    )
    .action(async (name: string, dir: string, options: Options) => {
      const made = await imagesFor(options).import(name, resolve(dir));
      if (options.json === true) printJson(made);
      else process.stdout.write(`${made.name} is ${made.digest}\n`);
    });
  withAgentData(image.command('list'))
    .description('list the images of this host')
    .action(async (options: Options) => {
      const images = await imagesFor(options).list();
      if (options.json === true) return printJson(images);
      printTable(
        ['NAME', 'DIGEST'],
        images.map(({ name, digest }) => [name, digest]),
      );
    });
  return image;
}

function withAgentData(command: Command): Command {
  return command
    .option('--data <dir>', 'data directory of `pomona up`')
    .option('--agent-data <dir>', 'data directory of `pomona agent run`')
    .option('--json', 'print JSON');
}

function imagesFor(options: Options): Images {
  return new Images(resolve(options.agentData ?? join(options.data ?? defaultDataDir(), 'agent')));
}
