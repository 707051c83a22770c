import { z } from 'zod';
import type { ParsedSpec } from '../spec/parse.ts';
import { substitute, unknownName, type Variables } from '../spec/substitute.ts';
import { readText, readYaml, specOf } from '../spec/yaml-file.ts';

const NAME = /^[A-Za-z0-9][\w.+-]*$/;
const nameSchema = z.string().regex(NAME, 'expected letters, digits, ".", "_", "+" and "-"');
const textSchema = z.union([z.string(), z.number(), z.boolean()]).transform(String);
const variablesSchema = z.record(
  z.string().regex(/^[A-Za-z]\w*$/, 'expected a variable name such as packages'),
  // A list is what a command takes: words with spaces between.
  z.union([textSchema, z.array(textSchema).transform((words) => words.join(' '))]),
);

/** A file of profiles, as people write it. */
const profilesFileSchema = z.strictObject({
  spec: z
    .string()
    .min(1)
    .describe('The recipe of every profile, with ${{ variables }}; or a file that holds it'),
  guests: z
    .record(nameSchema, variablesSchema)
    .refine((guests) => Object.keys(guests).length > 0, 'expected at least one guest')
    .describe('Versions of the guest, each with its variables, such as from'),
  teams: z
    .record(
      nameSchema,
      z.strictObject({
        all: variablesSchema.default({}).describe('Variables with every guest'),
        guests: z
          .record(nameSchema, variablesSchema)
          .default({})
          .describe('Variables that are others with a guest'),
        without: z.array(nameSchema).default([]).describe('Guests that this team has none of'),
      }),
    )
    .refine((teams) => Object.keys(teams).length > 0, 'expected at least one team')
    .describe('Teams, each with its variables, such as packages'),
});

export type ProfilesFile = z.output<typeof profilesFileSchema>;

export interface Profile {
  readonly team: string;
  readonly guest: string;
  /** The guest's, over them the team's, over them the team's with that guest; `team` and `guest`. */
  readonly variables: Variables;
}

export interface LoadedProfiles {
  readonly profiles: readonly Profile[];
  /** Of every profile, with variables in it. */
  readonly parsed: ParsedSpec;
}

/** Thrown for profiles that contradict themselves, and for names of none. */
export class ProfileError extends Error {
  readonly code = 'profile';
}

/** Whether a file is one of profiles; otherwise it is a spec. */
export function isProfiles(text: string): boolean {
  return /^teams\s*:/m.test(text) && /^guests\s*:/m.test(text);
}

/** Reads profiles and their recipe. Throws `SpecError`, `UnreadableFile` and `ProfileError`. */
export async function loadProfiles(file: string): Promise<LoadedProfiles> {
  const read = readYaml(await readText(file), file, profilesFileSchema);
  return { profiles: profilesOf(read), parsed: await specOf(read.spec, file) };
}

/** Team by team, each with its guests. */
export function profilesOf(file: ProfilesFile): Profile[] {
  const guests = Object.keys(file.guests);
  return Object.entries(file.teams).flatMap(([team, { all, guests: own, without }]) => {
    const unknown = [...Object.keys(own), ...without].find((guest) => !guests.includes(guest));
    if (unknown !== undefined) {
      throw new ProfileError(`teams.${team}: ${unknownName('guest', unknown, guests)}`);
    }
    return Object.entries(file.guests)
      .filter(([guest]) => !without.includes(guest))
      .map(([guest, variables]) => ({
        ...{ team, guest },
        variables: { ...variables, ...all, ...own[guest], team, guest },
      }));
  });
}

/** `TEAM@GUEST`, or `TEAM` for one that has one guest. Throws `ProfileError`. */
export function findProfile(profiles: readonly Profile[], text: string): Profile {
  const names = profiles.map(profileText);
  const [team, guest] = text.split('@');
  const found = profiles.filter(
    (each) => each.team === team && (guest === undefined || each.guest === guest),
  );
  const [only, ...more] = found;
  if (only !== undefined && more.length === 0) return only;
  if (only === undefined) throw new ProfileError(unknownName('profile', text, names));
  throw new ProfileError(`${text} has several guests: ${found.map(profileText).join(', ')}`);
}

export function profileText({ team, guest }: Profile): string {
  return `${team}@${guest}`;
}

/** The recipe of one profile. Throws `UnknownVariable`. */
export function specOfProfile({ parsed }: LoadedProfiles, { variables }: Profile): ParsedSpec {
  return { ...parsed, spec: substitute(parsed.spec, variables) };
}
