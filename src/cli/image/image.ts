import { Command } from 'commander';
import { addBuildCommands } from './build.ts';
import { addLocalCommands } from './local.ts';
import { addRemoteCommands } from './remote.ts';

export function command(): Command {
  const image = new Command('image').description('images of this host and of remotes');
  addBuildCommands(image);
  addLocalCommands(image);
  addRemoteCommands(image);
  return image;
}
