import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { SpecError } from '../spec/source.ts';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProfile, isProfiles, loadProfiles, ProfileError, profileText } from './profiles.ts';

async function loaded(t: TestContext, text: string) {
  const dir = await mkdtemp(join(tmpdir(), 'pomona-profiles-'));
  t.after(() => rm(dir, { recursive: true }));
  const file = join(dir, 'f.yaml');
  await writeFile(file, text);
  return loadProfiles(file);
}

const SPEC = 'spec: "((from base))"';

test('a team’s variables come over the guest’s, and those with that guest over both', async (t) => {
  const { profiles } = await loaded(
    t,
    `${SPEC}
guests: { "14": { from: a, python: 3.12 }, "15": { from: b, python: 3.13 } }
teams:
  ROOT: { all: { python: 3.14, packages: [a, b] }, guests: { "15": { packages: c } } }
  SPI: { without: ["14"] }
`,
  );
  assert.deepEqual(profiles.map(profileText), ['ROOT@14', 'ROOT@15', 'SPI@15']);
  const [root14, root15, spi15] = profiles.map(({ variables }) => variables);
  const root = { python: '3.14', team: 'ROOT' };
  assert.deepEqual(root14, { ...root, from: 'a', packages: 'a b', guest: '14' });
  assert.deepEqual(root15, { ...root, from: 'b', packages: 'c', guest: '15' });
  assert.deepEqual(spi15, { from: 'b', python: '3.13', team: 'SPI', guest: '15' });
});

test('a profile is found by its team where that has one guest', async (t) => {
  const text = `${SPEC}\nguests: { "14": {}, "15": {} }\nteams: { A: {}, B: { without: ["14"] } }\n`;
  const { profiles } = await loaded(t, text);
  assert.equal(profileText(findProfile(profiles, 'B')), 'B@15');
  assert.equal(profileText(findProfile(profiles, 'A@14')), 'A@14');
  assert.throws(() => findProfile(profiles, 'A'), /A has several guests: A@14, A@15/);
  assert.throws(() => findProfile(profiles, 'C@14'), /there is no profile C@14/);
});

test('what contradicts itself, or is none of it, is told', async (t) => {
  const guests = 'guests: { "14": {} }';
  for (const [wrong, kind, message] of [
    [
      `${SPEC}\n${guests}\nteams: { A: { without: ["15"] } }`,
      ProfileError,
      /teams.A: there is no guest 15/,
    ],
    [`${SPEC}\n${guests}\nteams: { A: { guests: { "13": {} } } }`, ProfileError, /no guest 13/],
    [`${SPEC}\n${guests}\nteams: {}`, SpecError, /f.yaml:3:8: teams: expected at least one team/],
    [`${SPEC}\n${guests}\nteams: { A: { al: {} } }`, SpecError, /f.yaml:3:\d+: teams.A/],
    [`${guests}\nteams: { A: {} }`, SpecError, /spec/],
  ] as const) {
    await assert.rejects(
      loaded(t, wrong),
      (error) => error instanceof kind && message.test(error.message),
    );
  }
});

test('a spec is not taken for profiles', () => {
  assert.equal(isProfiles('from: a\nsteps: []'), false);
  assert.equal(isProfiles('((from a))'), false);
  assert.equal(isProfiles('spec: x\nguests:\n  a: {}\nteams:\n  b: {}'), true);
});
