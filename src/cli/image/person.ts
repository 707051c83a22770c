import { setTimeout as sleep } from 'node:timers/promises';
import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import type { AskPerson, Pause } from '../../builder/machines/machines.ts';
import type { LocalImages } from '../../images/local-images.ts';
import { Pauses } from '../../images/pauses.ts';
import {
  imageNameText,
  parseImageName,
  shortImageName,
  type ImageName,
} from '../../images/reference.ts';
import { processIdentity } from '../../platform/process-table.ts';
import { UsageError } from '../errors.ts';
import { ago, printJson, printTable } from '../output.ts';
import { imagesOf, withImages, type ImageOptions } from './places.ts';

const LOOK_MS = 300;

/** Asks whoever sits at this terminal, or comes by `pomona image resume`. */
export function personFor(images: LocalImages, name: ImageName, json: boolean): AskPerson {
  const pauses = new Pauses(images.dir);
  return async (pause, signal) => {
    const waits = (await processIdentity(process.pid)) ?? String(process.pid);
    const { check: _, ...told } = pause;
    await pauses.begin(name, { ...told, image: imageNameText(name), waits, since: Date.now() });
    const over = new AbortController();
    const either = AbortSignal.any([signal, over.signal]);
    try {
      if (json) process.stdout.write(`${JSON.stringify({ type: 'pause', ...pause })}\n`);
      else process.stdout.write(`${pauseText(pause, name)}\n`);
      const pressed = json || !process.stdin.isTTY ? [] : [enter(either)];
      await Promise.race([...pressed, resumed(pauses, name, either)]);
    } finally {
      over.abort();
      await pauses.end(name);
    }
    signal.throwIfAborted();
  };
}

function pauseText({ text, where, mac, check, problem, machine }: Pause, name: ImageName): string {
  const indented = text.trim().replaceAll(/^/gm, '    ');
  const how =
    check === undefined
      ? 'When it is done, press Enter, or say so elsewhere'
      : 'It goes on by itself when it is done; or say so';
  return [
    ...(problem === undefined ? [] : ['', `It is not done yet: ${problem}`]),
    ...['', 'A person has to do this in the machine:', '', indented, ''],
    `  Machine         ${machine}`,
    `  Screen          ${where}`,
    ...(mac === undefined ? [] : [`  Network address ${mac}`]),
    `${how}: pomona image resume ${shortImageName(name)}`,
    'Ctrl-C stops here; what was done is still there the next time.',
  ].join('\n');
}

async function enter(signal: AbortSignal): Promise<void> {
  const lines = createInterface({ input: process.stdin });
  try {
    await lines.question('', { signal });
  } finally {
    lines.close();
  }
}

async function resumed(pauses: Pauses, name: ImageName, signal: AbortSignal): Promise<void> {
  while ((await pauses.find(name)) !== undefined) await sleep(LOOK_MS, undefined, { signal });
}

/** Commands of those whom builds wait for. */
export function addPersonCommands(image: Command): void {
  withImages(image.command('resume <name>'))
    .description('say that what a build waits for is done')
    .action(async (text: string, options: ImageOptions) => {
      const name = parseImageName(text);
      const pauses = new Pauses(imagesOf(options).dir);
      const pause = await pauses.find(name);
      if (pause === undefined) {
        const waiting = (await pauses.all()).map((each) => each.image).join(', ') || 'none';
        throw new UsageError(
          `no build of ${imageNameText(name)} waits for anyone; waiting: ${waiting}`,
        );
      }
      await pauses.end(name);
      if (options.json === true) return printJson(pause);
      process.stdout.write(`the build of ${imageNameText(name)} goes on\n`);
    });

  withImages(image.command('paused'))
    .description('builds that wait for a person')
    .action(async (options: ImageOptions) => {
      const all = await new Pauses(imagesOf(options).dir).all();
      if (options.json === true) return printJson(all);
      printTable(
        ['IMAGE', 'SINCE', 'NETWORK ADDRESS', 'SCREEN', 'WHAT TO DO'],
        all.map(({ image: name, since, mac, where, text }) => [
          ...[name, ago(since) ?? '', mac ?? '', where, text.trim().split('\n')[0] ?? ''],
        ]),
      );
    });
}
