import { mustRun } from '../../../platform/tool.ts';

/** Users of the host's directory service, made for one environment each. */
export interface BuildUser {
  readonly name: string;
  readonly uid: number;
  readonly home: string;
}

/** Makes the user, or makes it again as it should be. Its group is the number of its own. */
export async function createUser(user: BuildUser, owner: string): Promise<void> {
  const record = `/Users/${user.name}`;
  await mustRun('dscl', ['.', '-create', record]);
  const attributes = {
    UniqueID: String(user.uid),
    PrimaryGroupID: String(user.uid),
    UserShell: '/bin/bash',
    NFSHomeDirectory: user.home,
    RealName: owner,
    // Not offered at the login window, and nobody can log in by a password.
    IsHidden: '1',
    Password: '*',
  };
  for (const [name, value] of Object.entries(attributes)) {
    await mustRun('dscl', ['.', '-create', record, name, value]);
  }
}

/** Removes the user. Idempotent. */
export async function deleteUser(name: string): Promise<void> {
  const list = await mustRun('dscl', ['.', '-list', '/Users']);
  if (list.split('\n').includes(name)) await mustRun('dscl', ['.', '-delete', `/Users/${name}`]);
}
