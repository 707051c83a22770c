import assert from 'node:assert/strict';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { macosDriver } from '../../src/drivers/sandbox/macos-user/macos-user.ts';
import { BuilderFixture, noBuilds } from '../builder-fixture.ts';
import { fakeMacos, noFakeMacos } from '../fake-macos.ts';
import { isTested } from '../store-places.ts';
import { zfsPool } from '../zfs-pool.ts';

// The real ZFS is told where homes are to be.
const { base, remove } = fakeMacos({ zfs: false });
/** That nothing else on this machine has: what runs as it is killed. */
const UID = 62_941;
const USERS = join(base, 'Users');
const HOME = join(USERS, `mac${UID}`);
const PREFIX = join(base, 'opt/homebrew');
const pool = zfsPool(256);
after(() => {
  if (typeof pool !== 'string') pool.remove();
  remove();
});

for (const store of (['copy', 'zfs'] as const).filter(isTested)) {
  const noZfs = store === 'zfs' && typeof pool === 'string' ? pool : false;
  describe(
    `builds over a home and a prefix as a user of macOS (fakes), store ${store}`,
    {
      skip: noFakeMacos() || noBuilds || noZfs,
    },
    () => {
      const sandbox = macosDriver({
        ...{ name: 'macos-user', rank: 0, homes: USERS },
        uids: { first: UID, last: UID },
      }).open();
      // The home moves between the clone and its place, which are on one volume.
      const storeRoot =
        typeof pool !== 'string' && store === 'zfs' ? pool.root : join(base, 'store');
      const fixture = new BuilderFixture({ store, storeRoot, sandbox });
      fixture.prefixPath = PREFIX;
      const mac = join(fixture.dir, 'mac');
      for (const part of ['home', 'prefix/bin']) mkdirSync(join(mac, part), { recursive: true });
      writeFileSync(join(mac, 'home/.obuilder_profile.sh'), 'export FROM_PROFILE=yes\n');
      writeFileSync(join(mac, 'prefix/bin/tool'), '#!/bin/sh\necho the tool\n', { mode: 0o755 });
      after(() => fixture.remove());

      test('commands see their home, prefix and directory where the base wants them', async () => {
        writeFileSync(join(fixture.context, 'data'), 'data');
        const spec = `((from mac) (workdir src) (copy (src data) (dst in/))
        (run (shell "pwd; cat in/data; ${PREFIX}/bin/tool; echo x > ${PREFIX}/made; id -u"))
        (run (shell "cat ${PREFIX}/made; echo $HOME; echo $FROM_PROFILE")))`;
        const builder = await fixture.builder();
        const { outcome, output, how } = await fixture.build(builder, spec);
        assert.equal(outcome.outcome, 'succeeded', output);
        assert.equal(output, `${HOME}/src\ndatathe tool\n${UID}\nx\n${HOME}\nyes\n`);
        assert.deepEqual(how, Array(4).fill('made'));
        assert.deepEqual((await fixture.build(builder, spec)).how, Array(4).fill('cached'));
        for (const place of [HOME, PREFIX]) assert.equal(existsSync(place), false, place);
      });

      test('a cache is there where there was no directory, and a secret at its path', async () => {
        const builder = await fixture.builder();
        const use = (command: string) =>
          `((from mac) (run (cache (c (target ${HOME}/not/there/yet)))
          (secrets (token (target ${HOME}/.token))) (shell "${command}")))`;
        const secrets = new Map([['token', Buffer.from('s3cret')]]);
        const first = await fixture.build(
          builder,
          use('echo kept > not/there/yet/x; wc -c < .token'),
          {
            secrets,
          },
        );
        assert.equal(first.outcome.outcome, 'succeeded', first.output);
        assert.equal(first.output.trim(), '6');
        const second = await fixture.build(builder, use('cat not/there/yet/x'), { secrets });
        assert.equal(second.output, 'kept\n');
      });

      test('what a nested build made is copied from it', async () => {
        const { outcome, output } = await fixture.build(
          await fixture.builder(),
          `((build tools ((from mac) (run (shell "mkdir out; echo nested > out/file"))))
          (from mac) (copy (from (build tools)) (src out) (dst got)) (run (shell "cat got/file")))`,
        );
        assert.equal(outcome.outcome, 'succeeded', output);
        assert.equal(output, 'nested\n');
      });

      test('builds at the same time wait for the one user there is', async () => {
        const builders = [await fixture.builder(), await fixture.builder()];
        const ran = await Promise.all(
          builders.map((builder, number) =>
            fixture.build(builder, `((from mac) (run (shell "sleep 0.3; echo ${number}")))`),
          ),
        );
        assert.deepEqual(
          ran.map(({ outcome, output }) => [outcome.outcome, output]),
          [
            ['succeeded', '0\n'],
            ['succeeded', '1\n'],
          ],
        );
      });

      test('a command that leaves processes behind leaves none, and nothing mounted', async () => {
        const { outcome } = await fixture.build(
          await fixture.builder(),
          `((from mac) (run (shell "cd; (trap '' TERM HUP; sleep 600) & disown; echo started")))`,
        );
        assert.equal(outcome.outcome, 'succeeded');
        assert.equal(existsSync(HOME), false);
      });
    },
  );
}
