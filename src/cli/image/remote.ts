import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { collectGarbage } from '../../images/gc.ts';
import { imageSize } from '../../images/format/manifest.ts';
import { pullImage } from '../../images/pull.ts';
import { pushImage } from '../../images/push.ts';
import { imageNameText, parseImageName } from '../../images/reference.ts';
import { SecretsError } from '../../images/secrets/secrets-in-image.ts';
import { ExitError, UsageError } from '../errors.ts';
import { collect } from '../options.ts';
import { ago, printJson, printTable, size } from '../output.ts';
import { imagesOf, REMOTE_HELP, withImages, withRemote, withThreads } from './places.ts';
import type { ImageOptions } from './places.ts';
import { progressLine } from './progress.ts';

/** The commands that move images, and those that work here as well as on a remote. */
export function addRemoteCommands(image: Command): void {
  withImages(image.command('push <name> <remote>'))
    .description('send an image to a remote: only what no image there has')
    .option('--allow <finding>', 'a finding that is no secret; @FILE has one a line', collect, [])
    .addHelpText(
      'after',
      `${REMOTE_HELP}

A push that was interrupted goes on when it is given again.

Before anything is sent the image is searched for private keys, tokens, the history of shells and
credentials of CI runners, in files and in the blocks of disks. What is found is listed and refused; its
ID stays the same for the same content, so a file of allowed ones serves for every version.

Examples:
  pomona image push macos-15:2026-01 s3://images/macs
  pomona image push macos-15:2026-01 s3://images/macs --allow @allowed-findings.txt`,
    )
    .action(async (text: string, remote: string, options: ImageOptions & { allow: string[] }) => {
      const name = parseImageName(text);
      const images = imagesOf(options);
      const allow = await readAllowed(options.allow);
      const digest = await images.resolve(text);
      const line = progressLine(options.json);
      const pushed = await withRemote(remote, (repository) =>
        withThreads((threads, signal) =>
          pushImage(images, threads, digest, repository, name, {
            ...{ signal, allow, progress: line.update },
          }),
        ),
      )
        .finally(line.end)
        .catch((error: unknown) => {
          if (!(error instanceof SecretsError) || options.json !== true) throw error;
          printJson({ ...name, digest, findings: error.findings });
          throw new ExitError(1);
        });
      if (options.json === true) return printJson({ ...name, ...pushed });
      process.stdout.write(
        `${imageNameText(name)} is in ${remote}: ${size(pushed.sentBytes)} sent in ${pushed.packs} packs, ${size(pushed.reusedBytes)} were there or are empty\n`,
      );
    });

  withImages(image.command('pull <name> <remote>'))
    .description('bring an image from a remote: only what no local image has')
    .addHelpText(
      'after',
      `${REMOTE_HELP}

A pull that was interrupted goes on when it is given again.

Example:
  pomona image pull macos-15:2026-01 s3://images/macs`,
    )
    .action(async (text: string, remote: string, options: ImageOptions) => {
      const name = parseImageName(text);
      const line = progressLine(options.json);
      const pulled = await withRemote(remote, (repository) =>
        withThreads((threads, signal) =>
          pullImage(imagesOf(options), threads, repository, name, {
            signal,
            progress: line.update,
          }),
        ),
      ).finally(line.end);
      if (options.json === true) return printJson({ ...name, ...pulled });
      process.stdout.write(
        `${imageNameText(name)} is ${pulled.digest}: ${size(pulled.fetchedBytes)} fetched, ${size(pulled.reusedBytes)} were here or are empty\n`,
      );
    });

  withImages(image.command('list [remote]'))
    .description('list the images of this host, or of a remote')
    .action(async (remote: string | undefined, options: ImageOptions) => {
      if (remote !== undefined) {
        const tags = await withRemote(remote, (repository) => repository.tags());
        if (options.json === true) return printJson(tags);
        return printTable(
          ['NAME', 'SIZE', 'PUSHED', 'DIGEST'],
          tags.map((tag) => [
            imageNameText(tag),
            size(tag.size),
            ago(Date.parse(tag.pushedAt)),
            tag.digest,
          ]),
        );
      }
      const images = imagesOf(options);
      const rows = [];
      for (const tag of await images.tags()) {
        if (!(await images.has(tag.digest))) continue;
        rows.push({ ...tag, size: imageSize(await images.manifest(tag.digest)) });
      }
      if (options.json === true) return printJson(rows);
      printTable(
        ['NAME', 'SIZE', 'DIGEST'],
        rows.map((row) => [imageNameText(row), size(row.size), row.digest]),
      );
    });

  withImages(image.command('remove <name> [remote]'))
    .description('take a name away, here or in a remote; `gc` then frees the room')
    .action(async (text: string, remote: string | undefined, options: ImageOptions) => {
      const name = parseImageName(text);
      if (remote === undefined) await imagesOf(options).removeTag(name);
      else await withRemote(remote, (repository) => repository.deleteTag(name));
      if (options.json === true) return printJson(name);
      const where = remote ?? 'this host';
      process.stdout.write(
        `${imageNameText(name)} is no name in ${where} any more; \`pomona image gc\` frees its room\n`,
      );
    });

  withImages(image.command('gc [remote]'))
    .description('remove what no name needs, here or in a remote')
    .addHelpText(
      'after',
      `
In a remote a first gc marks what is not needed and a later one removes it, so that pushes may go
on meanwhile. Run it daily.`,
    )
    .action(async (remote: string | undefined, options: ImageOptions) => {
      if (remote === undefined) {
        const removed = await imagesOf(options).removeUntagged();
        if (options.json === true) return printJson({ removed });
        process.stdout.write(`${removed.length} images removed\n`);
        return;
      }
      const result = await withRemote(remote, (repository) => collectGarbage(repository));
      if (options.json === true) return printJson(result);
      process.stdout.write(
        `${result.removedPacks} packs (${size(result.removedBytes)}) removed, ${result.markedPacks} marked for the next gc\n`,
      );
    });
}

async function readFindings(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new UsageError(`--allow @${file}: ${(error as Error).message}`, { cause: error });
  }
}

/** Findings, or `@FILE` with one a line, after which anything may follow, and comments by `#`. */
async function readAllowed(given: readonly string[]): Promise<Set<string>> {
  const allowed = new Set<string>();
  for (const each of given) {
    const text = each.startsWith('@') ? await readFindings(each.slice(1)) : each;
    for (const line of text.split('\n')) {
      const [id = ''] = line.trim().split(/\s/);
      if (id !== '' && !id.startsWith('#')) allowed.add(id);
    }
  }
  return allowed;
}
