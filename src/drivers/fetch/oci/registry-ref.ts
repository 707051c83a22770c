/** An image in a registry. */
export interface RegistryRef {
  /** `host` or `host:port`, as it is asked. */
  readonly host: string;
  readonly name: string;
  /** A tag, or a digest. */
  readonly reference: string;
}

const NAME = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$/;
const DEFAULT_HOST = 'registry-1.docker.io';

/**
 * Reads `[docker://][host[:port]/]name[:tag][@sha256:...]` as container tools do: a first part with
 * a dot or a port, or `localhost`, is a host; without one it is Docker's registry, and a name of one
 * part is one of its own images. Undefined for what is no such name.
 */
export function parseRegistryRef(text: string): RegistryRef | undefined {
  const plain = text.replace(/^docker:\/\//, '');
  const [, path = '', tag, digest] =
    /^([^@]+?)(?::([\w][\w.-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?$/.exec(plain) ?? [];
  const [first = '', ...rest] = path.split('/');
  const hasHost = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost');
  const host = hasHost ? first.replace(/^(index\.)?docker\.io$/, DEFAULT_HOST) : DEFAULT_HOST;
  const given = hasHost ? rest.join('/') : path;
  const name = host === DEFAULT_HOST && !given.includes('/') ? `library/${given}` : given;
  if (!NAME.test(name)) return undefined;
  return { host, name, reference: digest ?? tag ?? 'latest' };
}

/** The text that means just this manifest. */
export function pinnedText({ host, name }: RegistryRef, digest: string): string {
  return `docker://${host}/${name}@${digest}`;
}
