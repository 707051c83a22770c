import { resolve } from 'node:path';
import { Option, type Command } from 'commander';
import { diffImages } from '../../images/diff.ts';
import { exportAs, type ExportFormat } from '../../images/export.ts';
import { imageSize, type Manifest } from '../../images/format/manifest.ts';
import { importImage } from '../../images/import.ts';
import { imageNameText, parseImageName } from '../../images/reference.ts';
import { verifyImage } from '../../images/verify.ts';
import { ExitError } from '../errors.ts';
import { printJson, printTable, size } from '../output.ts';
import { importFromRegistry } from './import-from-registry.ts';
import { importPath } from './import-file.ts';
import { imagesOf, withImages, withThreads, type ImageOptions } from './places.ts';
import { progressLine } from './progress.ts';

const OCI = 'oci://';

/** The commands that need no remote. */
export function addLocalCommands(image: Command): void {
  withImages(image.command('import <name> <path>'))
    .description('make an image of a disk, a VM bundle, a directory, or an image that Tart pushed')
    .option('--as-is', 'take a zip or qcow2 file as it is, not what is in it')
    .addHelpText(
      'after',
      `
NAME is a name, or NAME:TAG; without a tag it is \`latest\`. An image for sandboxes is a directory
that holds \`home\`, \`prefix\` or both. The host's agent sees it at once, running or not. The same
name imported again gives new workers the new content.

Of a zip file, such as that of a .macvm, the content becomes the image, without the directory that all
of it is in; of a qcow2 disk the raw content, so that versions share their chunks.

With oci:// PATH is an image that Tart pushed to a registry; the credentials are those of \`docker login\`.
An import that was interrupted goes on with the layers it had fetched.

Examples:
  pomona image import ocaml-5 ./macos-homebrew-ocaml-5
  pomona image import macos-15:2026-01 ~/.tart/vms/macos-15
  pomona image import macos-15 oci://registry.example.org/macs/macos-15:latest`,
    )
    .action(async (text: string, path: string, options: ImageOptions & { asIs?: boolean }) => {
      const name = parseImageName(text);
      const line = progressLine(options.json);
      const images = imagesOf(options);
      const { digest, manifest } = await withThreads((threads, signal) => {
        const work = { signal, progress: line.update };
        return path.startsWith(OCI)
          ? importFromRegistry(images, threads, name, path.slice(OCI.length), work)
          : options.asIs === true
            ? importImage(images, threads, name, resolve(path), work)
            : importPath(images, threads, name, resolve(path), work);
      }).finally(line.end);
      if (options.json === true) return printJson({ ...name, digest, ...summary(manifest) });
      process.stdout.write(`${imageNameText(name)} is ${digest}\n`);
    });

  withImages(image.command('export <name> <path>'))
    .description('write an image to a path that does not exist yet')
    .addOption(
      new Option(
        '--format <format>',
        'qcow2 for disks, zip for trees; default: what it is',
      ).choices(['qcow2', 'zip']),
    )
    .addHelpText(
      'after',
      `
Examples:
  pomona image export macos-15 ./macos-15
  pomona image export macos-15 "macOS 15.macvm.zip" --format zip
  pomona image export debian-12 debian-12.qcow2 --format qcow2`,
    )
    .action(
      async (text: string, path: string, options: ImageOptions & { format?: ExportFormat }) => {
        const images = imagesOf(options);
        const digest = await images.resolve(text);
        const line = progressLine(options.json);
        await exportAs(images, digest, resolve(path), options.format, {
          progress: line.update,
        }).finally(line.end);
        if (options.json === true) return printJson({ digest, path: resolve(path) });
        process.stdout.write(`${text} is now at ${path}\n`);
      },
    );

  withImages(image.command('show <name>'))
    .description('what an image holds')
    .action(async (text: string, options: ImageOptions) => {
      const images = imagesOf(options);
      const digest = await images.resolve(text);
      const manifest = await images.manifest(digest);
      const names = (await images.tags()).filter((tag) => tag.digest === digest).map(imageNameText);
      const shown = { digest, names, path: images.dataPath(digest), ...summary(manifest) };
      if (options.json === true) return printJson(shown);
      printTable(
        ['WHAT', 'VALUE'],
        [
          ['digest', digest],
          ['names', names.join(', ') || 'none'],
          ['kind', shown.kind === 'file' ? 'a disk' : `a tree of ${shown.entries} entries`],
          ['size', size(shown.bytes)],
          ['path', shown.path],
        ],
      );
    });

  withImages(image.command('verify <name>'))
    .description('read an image and compare every chunk with its digest; exits 1 on damage')
    .action(async (text: string, options: ImageOptions) => {
      const images = imagesOf(options);
      const digest = await images.resolve(text);
      const line = progressLine(options.json);
      const damage = await withThreads((threads, signal) =>
        verifyImage(images, threads, digest, { signal, progress: line.update }),
      ).finally(line.end);
      if (options.json === true) printJson({ digest, damage });
      else if (damage.length === 0) process.stdout.write(`${text} is as it was made\n`);
      for (const { path, offset } of options.json === true ? [] : damage) {
        process.stdout.write(`${path === '' ? text : path} is damaged at byte ${offset}\n`);
      }
      if (damage.length > 0) {
        throw new ExitError(1, `remove ${text} and pull or import it again`);
      }
    });

  withImages(image.command('diff <old> <new>'))
    .description('what one image has that another has not')
    .action(async (before: string, after: string, options: ImageOptions) => {
      const images = imagesOf(options);
      const diff = diffImages(
        await images.manifest(await images.resolve(before)),
        await images.manifest(await images.resolve(after)),
      );
      if (options.json === true) return printJson(diff);
      for (const { path, change } of diff.entries) process.stdout.write(`${change} ${path}\n`);
      process.stdout.write(
        `${size(diff.newBytes)} of ${size(diff.totalBytes)} are new in ${after}\n`,
      );
    });

  withImages(image.command('tag <name> <new>'))
    .description('give an image another name')
    .action(async (text: string, other: string, options: ImageOptions) => {
      const images = imagesOf(options);
      const name = parseImageName(other);
      const digest = await images.resolve(text);
      await images.setTag(name, digest);
      if (options.json === true) return printJson({ ...name, digest });
      process.stdout.write(`${imageNameText(name)} is ${digest}\n`);
    });
}

function summary(manifest: Manifest): { kind: string; bytes: number; entries: number } {
  return { kind: manifest.kind, bytes: imageSize(manifest), entries: manifest.entries.length };
}
