import { createHash } from 'node:crypto';
import { makeManifest, type ManifestEntry } from '../copy/manifest.ts';
import { BuildError } from '../build-error.ts';
import { machineSexp, type SexpValue } from '../spec/sexp-write.ts';
import { headingOf, isStep, type Op, type RunOp, type Spec, type User } from '../spec/spec.ts';
import { initialContext, joined, nextContext, type StepContext } from '../step-context.ts';

/** The id that OBuilder gives what a step makes. */
export interface StepId {
  /** Names of the nested builds that it is in, outermost first. */
  readonly build: readonly string[];
  readonly step: string;
  /** Undefined where only a build itself can tell: a copy from a nested build, and all after it. */
  readonly id: string | undefined;
}

export interface ObuilderIdsOptions {
  /** The context of `copy`. */
  readonly root: string;
  /** Variables of the base. */
  readonly env: Readonly<Record<string, string>>;
  readonly secrets: ReadonlyMap<string, string>;
  readonly signal: AbortSignal;
}

/**
 * The ids under which OBuilder keeps the results of a spec's steps. Its recipe: SHA-256 of the base's
 * name, and of the machine form of an S-expression of each step's inputs, secrets' values included.
 * Throws `BuildError` for missing sources and secrets.
 */
export async function obuilderIds(spec: Spec, options: ObuilderIdsOptions): Promise<StepId[]> {
  return idsOf(spec, options, []);
}

async function idsOf(
  spec: Spec,
  options: ObuilderIdsOptions,
  build: readonly string[],
): Promise<StepId[]> {
  const ids: StepId[] = [];
  for (const nested of spec.builds) {
    ids.push(...(await idsOf(nested.spec, options, [...build, nested.name])));
  }
  let id: string | undefined = sha256(spec.from);
  ids.push({ build, step: `from ${spec.from}`, id });
  let context = initialContext(options.env);
  for (const op of spec.ops) {
    context = nextContext(context, op);
    if (!isStep(op)) continue;
    if (op.op === 'manual' || op.op === 'finalize') {
      throw new BuildError('unsupported', `OBuilder has no ${op.op}, and so no id for it`);
    }
    id = id === undefined ? undefined : await nextId(id, context, op, options);
    ids.push({ build, step: headingOf(op), id });
  }
  return ids;
}

async function nextId(
  base: string,
  context: StepContext,
  op: Extract<Op, { op: 'run' | 'copy' }>,
  options: ObuilderIdsOptions,
): Promise<string | undefined> {
  if (op.op === 'run') return sha256(machineSexp(runInput(base, context, op, options)));
  if (op.from !== undefined) return undefined;
  const manifests = (await makeManifest({ ...options, src: op.src, exclude: op.exclude })).map(
    manifestSexp,
  );
  const dst = joined(context.workdir, op.dst);
  const [only = []] = manifests;
  const what: SexpValue = op.dst.endsWith('/')
    ? ['Copy_items', [manifests, dst]]
    : ['Copy_item', [only, dst]];
  return sha256(
    machineSexp([
      ['base', base],
      ['user', userSexp(context.user)],
      ['op', what],
    ]),
  );
}

function runInput(
  base: string,
  context: StepContext,
  op: RunOp,
  { secrets }: ObuilderIdsOptions,
): SexpValue {
  const mounted = op.secrets.map(({ id, target }): SexpValue => {
    const value = secrets.get(id);
    if (value === undefined) {
      throw new BuildError('unknown_secret', `the id depends on secret ${id}; give it by --secret`);
    }
    return [
      ['value', value],
      ['target', target],
    ];
  });
  return [
    ['base', base],
    ['workdir', context.workdir],
    ['user', userSexp(context.user)],
    ['env', context.env.map(([name, value]) => [name, value])],
    ['cmd', op.shell],
    ['shell', context.shell],
    ['network', op.network],
    ['mount_secrets', mounted],
  ];
}

function userSexp(user: User): SexpValue {
  if ('name' in user) return [['name', user.name]];
  return [
    ['uid', String(user.uid)],
    ['gid', String(user.gid)],
  ];
}

function manifestSexp(entry: ManifestEntry): SexpValue {
  const path = textOf(entry.path);
  switch (entry.kind) {
    case 'file':
      return ['File', [path, entry.sha256]];
    case 'link':
      return ['Symlink', [path, textOf(entry.target)]];
    case 'directory':
      return ['Dir', [path, entry.entries.map(manifestSexp)]];
  }
}

function textOf(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  if (Buffer.from(text).equals(bytes)) return text;
  throw new BuildError('bad_source', `no id for ${text}: its name is not UTF-8`);
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
