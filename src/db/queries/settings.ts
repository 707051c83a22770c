import type { Queryable } from '../database.ts';

export async function getSetting(db: Queryable, name: string): Promise<string | undefined> {
  const row = await db.get<{ value: string }>('SELECT value FROM settings WHERE name = $1', [name]);
  return row?.value;
}

/** Sets it unless it is set; returns what it is then. */
export async function initSetting(db: Queryable, name: string, value: string): Promise<string> {
  await db.run('INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING', [
    name,
    value,
  ]);
  return (await getSetting(db, name)) ?? value;
}

export async function setSetting(db: Queryable, name: string, value: string): Promise<void> {
  await db.run(
    `INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = $2`,
    [name, value],
  );
}
