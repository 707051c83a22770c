import {
  createCipheriv,
  createDecipheriv,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  randomBytes,
  type KeyObject,
} from 'node:crypto';

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;
/** DER length of an X25519 public key (SPKI). */
const PUBLIC_BYTES = 44;
const PURPOSE = 'pomona-seal-1';

/**
 * Encrypts with a 32-byte key (AES-256-GCM). `about` is authenticated with it: the same must be
 * given to open it, so a sealed value cannot be moved to another place. Returns base64.
 */
export function sealWithKey(key: Uint8Array, content: Uint8Array, about: string): string {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(about));
  const sealed = [nonce, cipher.update(content), cipher.final()];
  return Buffer.concat([...sealed, cipher.getAuthTag()]).toString('base64');
}

/** Opens what `sealWithKey` made. Throws when key, content or `about` differ. */
export function openWithKey(key: Uint8Array, sealed: string, about: string): Buffer {
  const all = Buffer.from(sealed, 'base64');
  const decipher = createDecipheriv('aes-256-gcm', key, all.subarray(0, NONCE_BYTES))
    .setAAD(Buffer.from(about))
    .setAuthTag(all.subarray(-TAG_BYTES));
  const content = decipher.update(all.subarray(NONCE_BYTES, -TAG_BYTES));
  return Buffer.concat([content, decipher.final()]);
}

/** A key pair whose private half never leaves this process. */
export function newSealKeys(): { publicKey: string; privateKey: KeyObject } {
  const { publicKey, privateKey } = generateKeyPairSync('x25519');
  return { publicKey: encodePublic(publicKey), privateKey };
}

/** Encrypts for the holder of the private key: X25519 with a fresh key, HKDF-SHA256, AES-256-GCM. */
export function sealFor(publicKey: string, content: Uint8Array): string {
  const fresh = generateKeyPairSync('x25519');
  const theirs = createPublicKey({
    key: Buffer.from(publicKey, 'base64'),
    format: 'der',
    type: 'spki',
  });
  const mine = fresh.publicKey.export({ format: 'der', type: 'spki' });
  const key = agree(fresh.privateKey, theirs, mine);
  const box = Buffer.from(sealWithKey(key, content, PURPOSE), 'base64');
  return Buffer.concat([mine, box]).toString('base64');
}

/** Opens what `sealFor` made. Throws when it was made for another key or was altered. */
export function openSealed(privateKey: KeyObject, sealed: string): Buffer {
  const all = Buffer.from(sealed, 'base64');
  const theirs = all.subarray(0, PUBLIC_BYTES);
  const key = agree(
    privateKey,
    createPublicKey({ key: theirs, format: 'der', type: 'spki' }),
    theirs,
  );
  return openWithKey(key, all.subarray(PUBLIC_BYTES).toString('base64'), PURPOSE);
}

function agree(privateKey: KeyObject, publicKey: KeyObject, salt: Uint8Array): Buffer {
  const shared = diffieHellman({ privateKey, publicKey });
  return Buffer.from(hkdfSync('sha256', shared, salt, PURPOSE, KEY_BYTES));
}

function encodePublic(key: KeyObject): string {
  return key.export({ format: 'der', type: 'spki' }).toString('base64');
}
