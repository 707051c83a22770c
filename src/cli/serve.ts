import { Command } from 'commander';
import { startController } from '../controller/controller.ts';
import {
  configFor,
  controllerOptions,
  loggerFor,
  readyText,
  untilAsked,
  withServing,
  type ServeOptions,
} from './serving.ts';

export function command(): Command {
  return withServing(new Command('serve'))
    .description('run a controller, until interrupted; agents join with `pomona agent run`')
    .addHelpText(
      'after',
      `
Examples:
  pomona serve --listen 0.0.0.0:7766
  pomona token join --output join.token      then, on a host:
  pomona agent run --controller http://CONTROLLER:7766 --join-token-file join.token`,
    )
    .action(async (options: ServeOptions) => {
      const config = await configFor(options);
      const settings = controllerOptions(options, config, 'pomona serve', loggerFor(options));
      const controller = await startController(settings);
      process.stdout.write(readyText(controller.url, settings.dataDir));
      await untilAsked();
      await controller.close();
    });
}
