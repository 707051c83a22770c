import { Command } from 'commander';
import { addLocalCommands } from './local.ts';
import { addRemoteCommands } from './remote.ts';

export function command(): Command {
  const image = new Command('image').description('images of this host and of remotes');
  addLocalCommands(image);
  addRemoteCommands(image);
  return image;
}
