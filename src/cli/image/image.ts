import { Command } from 'commander';
import { addBuildCommands } from './build.ts';
import { addLocalCommands } from './local.ts';
import { addPersonCommands } from './person.ts';
import { addRemoteCommands } from './remote.ts';
import { addScheduleCommands } from './schedule.ts';
import { addSyncCommand } from './sync.ts';

export function command(): Command {
  const image = new Command('image').description('images of this host and of remotes');
  addBuildCommands(image);
  addScheduleCommands(image);
  addPersonCommands(image);
  addLocalCommands(image);
  addRemoteCommands(image);
  addSyncCommand(image);
  return image;
}
