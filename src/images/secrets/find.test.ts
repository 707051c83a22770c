import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { findSecrets } from './find.ts';
import { CONTENT_RULES, LONGEST_MATCH, PATH_RULES } from './rules.ts';

/** Random, so that no file of this project holds what looks like a secret. */
function letters(
  count: number,
  from = 'ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789',
): string {
  return Array.from(randomBytes(count), (byte) => from[byte % from.length]).join('');
}
const HEX = '0123456789abcdef';
const UPPER = 'ABCDEFGHJKLMNPQRSTUVWXYZ234567';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
const SECRETS: Readonly<Record<string, readonly string[]>> = {
  'private-key': [
    rsa.export({ type: 'pkcs8', format: 'pem' }).toString(),
    rsa.export({ type: 'pkcs1', format: 'pem' }).toString().replaceAll('\n', '\r\n'),
    `-----BEGIN OPENSSH PRIVATE ${'KEY'}-----\n${letters(70)}\n${letters(70)}\n`,
  ],
  'github-token': [
    `ghp_${letters(36)}`,
    `ghs_${letters(36)}`,
    `github_pat_${letters(22)}_${letters(59)}`,
  ],
  'github-runner': [
    '{"scheme": "OAuth", "data": {"clientId": "3f"}}',
    '{\n  "scheme": "OAuth",\n  "data": {\n    "clientId"',
  ],
  'gitlab-token': [`glpat-${letters(20)}`, `glrt-${letters(24)}`],
  'aws-key': [
    `aws_access_key_id = AKIA${letters(16, UPPER)}\naws_secret_access_key = ${letters(40)}\n`,
  ],
  'slack-token': [`xoxb-${letters(12, '0123456789')}-${letters(24)}`],
  'npm-token': [`//registry/:_authToken=npm_${letters(36)}`],
  'google-key': [`AIza${letters(35)}`],
  'stripe-key': [`sk_live_${letters(24)}`],
  'buildkite-token': [`bkua_${letters(40, HEX)}`],
  'pomona-token': [`pomona_${letters(43)}`, `pomona_host_${letters(43)}`],
  'shell-history': [': 1763700000:0;ls\n: 1763700012:3;cat secret\n'],
};

test('each rule has an example here', () => {
  assert.deepEqual(
    Object.keys(SECRETS),
    CONTENT_RULES.map(({ name }) => name),
  );
});

for (const [rule, examples] of Object.entries(SECRETS)) {
  test(`what is of the form ${rule} is found amid other bytes, and named by its digest`, () => {
    for (const example of examples) {
      const before = Buffer.concat([randomBytes(1000), Buffer.from([0])]);
      const bytes = Buffer.concat([before, Buffer.from(`\n${example}\n`), randomBytes(1000)]);
      const [found, ...more] = findSecrets(bytes);
      assert.deepEqual([found?.rule, more], [rule, []], example);
      assert((found?.at ?? 0) >= before.length && (found?.length ?? 0) <= LONGEST_MATCH);
      assert.match(found?.id ?? '', new RegExp(`^${rule}-[0-9a-f]{12}$`));
      assert.equal(findSecrets(Buffer.from(`x\n${example}\n`))[0]?.id, found?.id);
      assert(!JSON.stringify(found).includes(example.trim()));
    }
  });
}

test('what only speaks of secrets is none', () => {
  const words = [
    `-----BEGIN PRIVATE ${'KEY'}-----\0-----END PRIVATE ${'KEY'}-----`,
    `-----BEGIN RSA PRIVATE ${'KEY'}-----\nProc-Type: 4,ENCRYPTED\n`,
    `-----BEGIN PUBLIC KEY-----\n${letters(64)}\n`,
    'ghp_short, ghp_' + letters(50),
    `AKIA${letters(16, UPPER)} without its secret`,
    'npm_config_registry npm_lifecycle_event_of_some_length_x',
    ': 12:0;no history\n: 13:0;none\n',
  ];
  for (const text of words) assert.deepEqual(findSecrets(Buffer.from(text)), [], text);
});

test('random bytes hold none', () => {
  assert.deepEqual(findSecrets(randomBytes(2 ** 22)), []);
});

test('a file is known by its name where names are told', () => {
  const named = (path: string) => PATH_RULES.find((rule) => rule.path.test(path))?.name;
  assert.equal(named('home/admin/.bash_history'), 'shell-history');
  assert.equal(named('.zsh_history'), 'shell-history');
  assert.equal(named('home/.zsh_sessions/3F.history'), 'shell-history');
  assert.equal(named('actions-runner/.credentials_rsaparams'), 'github-runner');
  assert.equal(named('root/.aws/credentials'), 'login-file');
  for (const path of ['notes/bash_history', 'a.bash_history', 'aws/credentials']) {
    assert.equal(named(path), undefined, path);
  }
});
