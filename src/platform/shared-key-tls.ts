import type { TlsOptions, ConnectionOptions } from 'node:tls';

/** Of TLS 1.2, which alone lets two programs that share a key do without certificates in Node. */
const SUITE = {
  ciphers: 'ECDHE-PSK-CHACHA20-POLY1305',
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
} as const;
const IDENTITY = 'pomona';

/** A server that only those reach who have the key, over an encrypted connection. */
export function sharedKeyServer(key: Buffer): TlsOptions {
  return { ...SUITE, pskCallback: (_socket, identity) => (identity === IDENTITY ? key : null) };
}

/** A client of such a server, which has proved to have the key, too. */
export function sharedKeyClient(key: Buffer): ConnectionOptions {
  return {
    ...SUITE,
    pskCallback: () => ({ psk: key, identity: IDENTITY }),
    // It has no certificate: the key is the proof.
    checkServerIdentity: () => undefined,
  };
}
