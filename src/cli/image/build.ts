import { dirname, join, resolve } from 'node:path';
import type { Command } from 'commander';
import {
  findProfile,
  isProfiles,
  loadProfiles,
  profileText,
} from '../../builder/profiles/profiles.ts';
import { filledIn } from '../../builder/spec/substitute.ts';
import { readText } from '../../builder/spec/yaml-file.ts';
import type { LocalImages } from '../../images/local-images.ts';
import { Recipes } from '../../images/recipes.ts';
import { imageNameText, parseImageName, type ImageName } from '../../images/reference.ts';
import { defaultDataDir } from '../../platform/data-dir.ts';
import { lockDirectory } from '../../platform/directory-lock.ts';
import { Interruption } from '../build/interruption.ts';
import { jsonPrinter, PlainPrinter, type BuildPrinter } from '../build/progress.ts';
import { UsageError } from '../errors.ts';
import { collect, durationOption, integerOption } from '../options.ts';
import { writeOut } from '../standard-output.ts';
import { digestOf, makeImage, rotateTags, type ImageOrder } from './make-image.ts';
import { personFor } from './person.ts';
import { agentDirOf, imagesOf, withImages, type ImageOptions } from './places.ts';

interface BuildOptions extends ImageOptions {
  readonly store?: string;
  readonly sandbox?: string;
  readonly secret: string[];
  readonly cache: boolean;
  readonly every?: number;
  readonly keep: number;
  readonly profile: string[];
  readonly allProfiles?: boolean;
}

/** Commands that make images by specs, once or on a schedule. */
export function addBuildCommands(image: Command): void {
  withImages(image.command('build <name> <file> [dir]'))
    .description('make an image by a spec, now and, with --every, again and again')
    .option('--store <spec>', 'where results are kept: DRIVER:PLACE')
    .option('--sandbox <name>', 'what steps run in (default: the best that works)')
    .option('--secret <id=file>', 'a secret for steps that ask for it', collect, [])
    .option('--no-cache', 'make every step anew')
    .option('--profile <team@guest>', 'of a file of profiles; may be repeated', collect, [])
    .option('--all-profiles', 'every profile of the file')
    .option('--every <duration>', 'make it anew so often, such as 7d', durationOption)
    .option('--keep <n>', 'with --every: dated tags that stay', integerOption, 3)
    .addHelpText(
      'after',
      `
The result becomes the image NAME, or NAME:TAG, of this host: a home and a prefix for workers, a
root file system, or a virtual machine, as the spec's base is. DIR is the context of \`copy\` (default:
the directory of FILE). Bases can be images, too: \`(from pomona:NAME)\`.

Over a virtual machine (an image of one, vm:PATH, ipsw:FILE) each step is run in a clone that is booted
and shut down, and kept: a changed last step repeats that step alone. A step \`manual\` waits for a
person: it tells what to do, where the screen is, and the network address to register; go on by Enter,
or by \`pomona image resume NAME\` elsewhere. After Ctrl-C what was done is still there the next time.

FILE may hold profiles: \`teams\`, \`guests\` and a \`spec\` with \${{ variables }}. NAME may have them, too.

With --every the agent of this host makes it anew each time, every step without the cache, so that
what the steps fetch is as new as it can be. Each time it also gets a tag of its date, to go back to
by \`pomona image tag NAME:2026-11-21-093000 NAME\`. Secrets' files are read each time.

Examples:
  pomona image build ocaml-5 ocaml.spec
  pomona image build macos-15 macos.yaml --profile root@15
  pomona image build '\${{ team }}-macos-\${{ guest }}' macos.yaml --all-profiles
  pomona image build macos-dev:stable dev.spec ./files --secret token=/etc/token --every 7d`,
    )
    .action(build);
}

async function build(
  text: string,
  file: string,
  dir: string | undefined,
  options: BuildOptions,
): Promise<void> {
  const images = imagesOf(options);
  const spec = resolve(file);
  const common = {
    ...{ spec, context: resolve(dir ?? dirname(spec)) },
    secrets: options.secret.map((each) => {
      const at = each.indexOf('=');
      return at < 1 ? each : `${each.slice(0, at)}=${resolve(each.slice(at + 1))}`;
    }),
    store: options.store,
    sandbox: options.sandbox,
  };
  const orders = (await namesFor(text, spec, options)).map((each) => ({ ...common, ...each }));
  const stop = new Interruption();
  try {
    for (const order of orders) await buildOne(images, order, options, stop);
  } finally {
    stop.end();
  }
}

async function buildOne(
  images: LocalImages,
  order: ImageOrder,
  options: BuildOptions,
  stop: Interruption,
): Promise<void> {
  const lock = await lockName(images, order, 'pomona image build');
  try {
    const before = await digestOf(images, order);
    const where = whereFor(options, images);
    const ask = personFor(images, order, options.json === true);
    const digest = await makeImage(order, { ...where, stop, ask, noCache: !options.cache });
    if (options.every !== undefined) {
      const builtAt = Date.now();
      const { keep, every: everyMs } = options;
      await rotateTags(images, { name: order.name, keep }, { digest, before }, builtAt);
      await new Recipes(images.dir).save({ ...order, everyMs, keep, builtAt });
    }
    told(options, imageNameText(order), digest);
  } finally {
    lock.release();
  }
}

/** The image of each profile that is asked for; without profiles the one image. */
async function namesFor(
  text: string,
  spec: string,
  { profile, allProfiles }: BuildOptions,
): Promise<(ImageName & { readonly profile?: string })[]> {
  if (!isProfiles(await readText(spec))) {
    if (profile.length > 0 || allProfiles === true) {
      throw new UsageError(
        `${spec} has no profiles: expected \`teams\`, \`guests\` and \`spec\` in it`,
      );
    }
    return [parseImageName(text)];
  }
  const { profiles } = await loadProfiles(spec);
  const chosen =
    allProfiles === true ? profiles : profile.map((each) => findProfile(profiles, each));
  if (chosen.length === 0) {
    const names = profiles.map(profileText).join(', ');
    throw new UsageError(
      `which profile is to be built? Give --profile, or --all-profiles (there are: ${names})`,
    );
  }
  const named = chosen.map((each) => ({
    ...parseImageName(filledIn(text, each.variables).toLowerCase()),
    profile: profileText(each),
  }));
  const twice = named.find(
    (each, at) => named.findIndex((other) => imageNameText(other) === imageNameText(each)) !== at,
  );
  if (twice === undefined) return named;
  throw new UsageError(
    `several profiles would become ${imageNameText(twice)}; name them apart: '\${{ team }}-macos-\${{ guest }}'`,
  );
}

/** One at a time makes an image of that name. */
export function lockName(images: LocalImages, name: ImageName, program: string) {
  const dir = join(new Recipes(images.dir).dir, 'locks', imageNameText(name));
  return lockDirectory(dir, program);
}

/** Where images are made on this host, and how it is shown. */
export function whereFor(options: ImageOptions, images: LocalImages) {
  return {
    ...{ images, agentDir: agentDirOf(options), buildsDir: buildsDirOf(options) },
    printer: printerFor(options),
  };
}

export function told(options: ImageOptions, name: string, digest: string): void {
  if (options.json === true) process.stdout.write(`${JSON.stringify({ image: name, digest })}\n`);
  else process.stdout.write(`${name} is ${digest}\n`);
}

/** As agents have it, so that they share what they make. */
function buildsDirOf({ agentData, data }: ImageOptions): string {
  return join(resolve(agentData ?? data ?? defaultDataDir()), 'builds');
}

function printerFor({ json }: ImageOptions): BuildPrinter {
  return json === true ? jsonPrinter(writeOut) : new PlainPrinter(writeOut, process.stdout.isTTY);
}
