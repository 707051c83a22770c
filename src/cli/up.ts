import { join } from 'node:path';
import { Command } from 'commander';
import { startController } from '../controller/controller.ts';
import { capacityFor, imageSourceOf, startFullAgent } from './agents.ts';
import {
  configFor,
  controllerOptions,
  defaultHostName,
  loggerFor,
  readyText,
  untilAsked,
  withServing,
  type ServeOptions,
} from './serving.ts';

export function command(): Command {
  return withServing(new Command('up'))
    .description('run a controller and one agent on this machine, until interrupted')
    .addHelpText(
      'after',
      `
Jobs that run go on when \`up\` ends, and are adopted at the next start.

Examples:
  pomona up                            on the usual data directory
  pomona up --data /tmp/pomona         somewhere else
  pomona up --config pomona.yaml       with pools of your own`,
    )
    .action(up);
}

async function up(options: ServeOptions): Promise<void> {
  const config = await configFor(options);
  const log = loggerFor(options);
  const settings = controllerOptions(options, config, 'pomona up', log);
  const controller = await startController(settings);
  try {
    const agent = await startFullAgent({
      controllerUrl: controller.url,
      joinToken: () => controller.joinToken(),
      name: config.agent.name ?? defaultHostName(),
      dataDir: join(settings.dataDir, 'agent'),
      // As `pomona build` on this machine, so that they share what they make.
      buildsDir: join(settings.dataDir, 'builds'),
      imageOptions: ['--data', settings.dataDir],
      ...imageSourceOf(config.agent),
      labels: config.agent.labels,
      capacity: capacityFor(config.agent),
      log,
      program: 'pomona up',
    });
    process.stdout.write(readyText(controller.url, settings.dataDir));
    try {
      await Promise.race([untilAsked(), agent.done]);
    } finally {
      await agent.close();
    }
  } finally {
    await controller.close();
  }
}
