import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { test } from 'node:test';
import { climb, sshAnswers, type Rung, type RungName } from './ladder.ts';
import type { VmError } from './vm.ts';

const NEVER = new AbortController().signal;
const well = async () => undefined;

function rung(name: RungName, answers: readonly (string | undefined)[], seen: string[]): Rung {
  const left = [...answers];
  return {
    name,
    timeoutMs: 200,
    look: async () => {
      seen.push(name);
      return left.length > 1 ? left.shift() : left[0];
    },
  };
}

test('rungs are climbed in order, each until it is reached', async () => {
  const seen: string[] = [];
  const rungs = [
    rung('address', ['none yet', undefined], seen),
    rung('port', [undefined], seen),
    rung('login', ['refused', 'refused', undefined], seen),
  ];
  await climb('w-1', rungs, well, NEVER);
  assert.deepEqual(seen, ['address', 'address', 'port', 'login', 'login', 'login']);
});

test('a rung that is not reached in its time is named, with what was the matter last', async () => {
  const rungs = [rung('address', [undefined], []), rung('port', ['connection refused'], [])];
  await assert.rejects(climb('w-1', rungs, well, NEVER), (error: VmError) => {
    assert.equal(error.code, 'boot_failed');
    assert.match(error.message, /VM w-1 did not boot: after 0 s nothing listens for SSH: connect/);
    return true;
  });
});

test('a machine that ended is not waited for', async () => {
  const seen: string[] = [];
  const ended = async () => 'QEMU ended: no such disk';
  await assert.rejects(
    climb('w-1', [rung('address', ['none yet'], seen)], ended, NEVER),
    /VM w-1 did not boot: QEMU ended: no such disk/,
  );
  assert.deepEqual(seen, ['address']);
});

test('an abort ends the climb', async () => {
  const stop = new AbortController();
  const climbing = climb('w-1', [rung('address', ['none yet'], [])], well, stop.signal);
  stop.abort(new Error('not wanted any more'));
  await assert.rejects(climbing, /abort|not wanted/);
});

test('only what greets as SSH does counts as an SSH server', async () => {
  const greetings = ['SSH-2.0-OpenSSH_9.2\r\n', 'HTTP/1.1 400\r\n', undefined];
  const answers: (string | undefined)[] = [];
  for (const greeting of greetings) {
    const server = createServer((socket: Socket) => void socket.end(greeting ?? '')).listen(
      0,
      '127.0.0.1',
    );
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    answers.push((await sshAnswers('127.0.0.1', port))?.replace(String(port), 'PORT'));
    server.close();
    await once(server, 'close');
    if (greeting === undefined) answers.push((await sshAnswers('127.0.0.1', port))?.split(' ')[1]);
  }
  const [ssh, http, silent, closed] = answers;
  assert.equal(ssh, undefined);
  assert.equal(http, '127.0.0.1:PORT is no SSH');
  assert.equal(silent, '127.0.0.1:PORT hangs up');
  assert.equal(closed, 'ECONNREFUSED');
});
