/** Thrown for what a person asked of images that cannot be. The message says what to do. */
export class ImageError extends Error {
  readonly code = 'image';
}

/** What people call an image. */
export interface ImageName {
  readonly name: string;
  readonly tag: string;
}

const PART = /^[a-z0-9][a-z0-9._-]{0,62}$/;

/** Reads `NAME` or `NAME:TAG`; without a tag it is `latest`. Throws `ImageError`. */
export function parseImageName(text: string): ImageName {
  const [name = '', tag = 'latest', ...rest] = text.split(':');
  if (rest.length > 0 || !PART.test(name) || !PART.test(tag)) {
    throw new ImageError(
      `${text} is no name of an image; expected NAME or NAME:TAG, each of lower-case letters, digits, ".", "_" and "-"`,
    );
  }
  return { name, tag };
}

export function imageNameText({ name, tag }: ImageName): string {
  return `${name}:${tag}`;
}

/** As pools name it: without the tag when that is `latest`. */
export function shortImageName({ name, tag }: ImageName): string {
  return tag === 'latest' ? name : `${name}:${tag}`;
}
