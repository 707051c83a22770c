import { ProblemError } from '../../protocol/problem.ts';
import { digestSchema } from '../../protocol/values.ts';
import type { Arrived } from './incoming.ts';

/** The hex digits of a source's digest. Throws ProblemError `invalid`. */
export function sourceHex(digest: string): string {
  if (digestSchema.safeParse(digest).success) return digest.slice('sha256:'.length);
  throw new ProblemError('invalid', 'that is no digest of a source', {
    errors: [{ path: 'digest', message: 'expected sha256:<64 hex>' }],
  });
}

/** Throws ProblemError `invalid` when what arrived has another digest. */
export function mustHaveDigest({ size, sha256 }: Arrived, digest: string): void {
  if (`sha256:${sha256}` === digest) return;
  const message = `expected sha256:${sha256}, the digest of the ${size} bytes sent`;
  throw new ProblemError('invalid', 'the bytes that arrived have another digest; send them again', {
    errors: [{ path: 'digest', message }],
  });
}
