import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import {
  chmod,
  mkdir,
  readdir,
  readFile,
  readlink,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { ZipFile } from 'yazl';
import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { writeDisk } from '../../../test/image-tools.ts';
import { convertDisk, formatOf } from './disk-format.ts';
import { unzip, zipTree } from './zip.ts';

const MB = 2 ** 20;
const base = mkdtempSync(join(tmpdir(), 'pomona-formats-'));
after(() => rmSync(base, { recursive: true }));
const newDir = () => mkdtempSync(join(base, 'dir-'));
const lacks = (tool: string, where: string) =>
  spawnSync(tool, ['-h']).error === undefined ? false : `there is no ${tool} (Debian: ${where})`;

async function bundle(): Promise<string> {
  const dir = newDir();
  await mkdir(join(dir, 'deep/empty'), { recursive: true });
  await writeFile(join(dir, 'deep/program'), '#!/bin/sh\n');
  await chmod(join(dir, 'deep/program'), 0o755);
  await symlink('deep/program', join(dir, 'link'));
  await writeDisk(join(dir, 'disk.img'), 8 * MB, [{ at: 4 * MB, bytes: randomBytes(MB) }]);
  return dir;
}

async function assertSame(back: string, dir: string): Promise<void> {
  const names = async (of: string) => (await readdir(of, { recursive: true })).toSorted();
  assert.deepEqual(await names(back), await names(dir));
  for (const file of ['deep/program', 'disk.img']) {
    assert.ok((await readFile(join(back, file))).equals(await readFile(join(dir, file))), file);
  }
  assert.equal((await stat(join(back, 'deep/program'))).mode & 0o777, 0o755);
  assert.equal(await readlink(join(back, 'link')), 'deep/program');
}

describe('zip', () => {
  test('a bundle comes back from it, without its own directory, and its holes stay holes', async () => {
    const dir = await bundle();
    const path = join(newDir(), 'vm.zip');
    await zipTree(dir, path, 'macOS 15.macvm');
    assert.equal(await formatOf(path), 'zip');
    const back = join(newDir(), 'back');
    await unzip(path, back);
    await assertSame(back, dir);
    assert.ok((await stat(join(back, 'disk.img'))).blocks * 512 < 2 * MB);
  });

  test('what others pack is unpacked', { skip: lacks('python3', 'python3') }, async () => {
    const dir = await bundle();
    const path = join(newDir(), 'vm.zip');
    const script = 'import shutil, sys; shutil.make_archive(sys.argv[1], "zip", sys.argv[2])';
    await symlink('nowhere', join(dir, 'dangling'));
    execFileSync('python3', ['-c', script, path.replace(/\.zip$/, ''), dir]);
    const back = join(newDir(), 'back');
    await unzip(path, back);
    assert.ok(
      (await readFile(join(back, 'disk.img'))).equals(await readFile(join(dir, 'disk.img'))),
    );
  });

  test('what we pack is what others unpack', { skip: lacks('python3', 'python3') }, async () => {
    const dir = await bundle();
    const path = join(newDir(), 'vm.zip');
    await zipTree(dir, path, 'vm');
    const back = newDir();
    execFileSync('python3', ['-m', 'zipfile', '-e', path, back]);
    const disk = await readFile(join(back, 'vm/disk.img'));
    assert.ok(disk.equals(await readFile(join(dir, 'disk.img'))));
  });

  test('nothing is written outside, and what macOS adds is left out', async () => {
    const path = join(newDir(), 'odd.zip');
    const zip = new ZipFile();
    zip.addBuffer(Buffer.from('x'), 'vm/file');
    zip.addBuffer(Buffer.from('x'), '__MACOSX/vm/._file');
    zip.addBuffer(Buffer.from('x'), 'vm/.DS_Store');
    zip.addBuffer(Buffer.from('../../..'), 'vm/up', { mode: 0o120777 });
    zip.addBuffer(Buffer.from('x'), 'vm/up/escaped');
    zip.end();
    await pipeline(zip.outputStream, createWriteStream(path));
    const back = join(newDir(), 'back');
    await assert.rejects(unzip(path, back), /EEXIST|ENOTDIR/);
    assert.deepEqual((await readdir(back)).toSorted(), ['file', 'up']);
    const bytes = await readFile(path);
    const evil = Buffer.from(bytes.toString('latin1').replaceAll('vm/file', '../file'), 'latin1');
    await writeFile(path, evil);
    await assert.rejects(unzip(path, join(newDir(), 'back')), /cannot be unpacked: .*\.\.\/file/);
    await writeFile(path, bytes.subarray(0, bytes.length - 10));
    await assert.rejects(unzip(path, join(newDir(), 'back')), /cannot be read as zip/);
  });
});

describe('qcow2', { skip: lacks('qemu-img', 'qemu-utils') }, () => {
  test('a disk comes back from it, and its holes stay holes', async () => {
    const dir = newDir();
    const [raw, qcow2, back] = [join(dir, 'raw'), join(dir, 'qcow2'), join(dir, 'back')];
    await writeDisk(raw, 16 * MB, [{ at: 5 * MB, bytes: randomBytes(MB) }]);
    await convertDisk({ path: raw, format: 'raw' }, { path: qcow2, format: 'qcow2' });
    assert.equal(await formatOf(qcow2), 'qcow2');
    const seen: number[] = [];
    const progress = ({ doneBytes }: { doneBytes: number }) => void seen.push(doneBytes);
    await convertDisk(
      { path: qcow2, format: 'qcow2' },
      { path: back, format: 'raw' },
      { progress },
    );
    assert.ok((await readFile(back)).equals(await readFile(raw)));
    assert.ok((await stat(back)).blocks * 512 < 3 * MB);
    assert.ok(seen.length > 0);
  });

  test('one that refers to another file is refused', async () => {
    const dir = newDir();
    const overlay = join(dir, 'overlay');
    await writeFile(join(dir, 'secret'), randomBytes(MB));
    const args = ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', join(dir, 'secret'), overlay];
    execFileSync('qemu-img', args);
    await assert.rejects(
      convertDisk({ path: overlay, format: 'qcow2' }, { path: join(dir, 'raw'), format: 'raw' }),
      /refers to another file/,
    );
  });
});
