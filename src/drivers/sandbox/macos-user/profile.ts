/** What a command may touch, as `sandbox-exec` is told. Paths are real ones, without links. */
export interface Allowed {
  readonly writable: readonly string[];
  readonly readOnly: readonly string[];
  readonly network: 'host' | 'none';
}

/** Places of the system that programs cannot do without; the user's own rights still hold there. */
const SHARED = ['/dev', '/private/tmp', '/private/var/tmp', '/private/var/folders'];

/**
 * A profile in the language of `sandbox-exec`: files are written only where it is allowed, and
 * without network only the host's loopback device is reached. The last rule that matches counts.
 */
export function sandboxProfile({ writable, readOnly, network }: Allowed): string {
  const lines = ['(version 1)', '(allow default)', '(deny file-write*)'];
  for (const dir of [...SHARED, ...writable]) {
    lines.push(`(allow file-write* (subpath ${literal(dir)}))`);
  }
  for (const dir of readOnly) lines.push(`(deny file-write* (subpath ${literal(dir)}))`);
  if (network === 'none') {
    lines.push('(deny network*)');
    lines.push('(allow network-bind (local ip "localhost:*"))');
    lines.push('(allow network-inbound (local ip "localhost:*"))');
    lines.push('(allow network-outbound (remote ip "localhost:*"))');
    // Not the system's sockets: by mDNSResponder's, names would be looked up.
    for (const dir of writable) {
      lines.push(`(allow network* (local unix-socket (subpath ${literal(dir)})))`);
      lines.push(`(allow network-outbound (remote unix-socket (subpath ${literal(dir)})))`);
    }
  }
  return `${lines.join('\n')}\n`;
}

function literal(text: string): string {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}
