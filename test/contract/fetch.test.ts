import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, afterEach, before, describe, test } from 'node:test';
import { FETCH_DRIVERS } from '../../src/drivers/fetch/drivers.ts';
import { parseRegistryRef } from '../../src/drivers/fetch/oci/registry-ref.ts';
import { makeLayout, RegistryServer, type Fill } from '../oci-image.ts';

const signal = new AbortController().signal;
const BIG = randomBytes(3 * 2 ** 20);
const dir = mkdtempSync(join(tmpdir(), 'pomona-fetch-'));
after(() => rmSync(dir, { recursive: true }));

const LAYERS: readonly Fill[] = [
  (root) => {
    mkdirSync(join(root, 'usr/lib'), { recursive: true });
    symlinkSync('usr/lib', join(root, 'lib'));
    mkdirSync(join(root, 'etc/old'), { recursive: true });
    mkdirSync(join(root, 'gone/deep'), { recursive: true });
    writeFileSync(join(root, 'etc/old/one'), '1');
    writeFileSync(join(root, 'etc/removed'), 'x');
    writeFileSync(join(root, 'gone/deep/file'), 'x');
    writeFileSync(join(root, 'usr/lib/program'), '#!/bin/sh\n', { mode: 0o755 });
    linkSync(join(root, 'usr/lib/program'), join(root, 'usr/lib/same'));
    writeFileSync(join(root, 'big'), BIG);
    mkdirSync(join(root, 'read-only'));
    writeFileSync(join(root, 'read-only/file'), 'x');
    chmodSync(join(root, 'read-only'), 0o555);
  },
  (root) => {
    mkdirSync(join(root, 'etc/old'), { recursive: true });
    writeFileSync(join(root, 'etc/.wh.removed'), '');
    writeFileSync(join(root, 'etc/old/.wh..wh..opq'), '');
    writeFileSync(join(root, 'etc/old/two'), '2');
    writeFileSync(join(root, '.wh.gone'), '');
    mkdirSync(join(root, 'lib'));
    writeFileSync(join(root, 'lib/added'), 'through the link');
  },
  (root) => {
    symlinkSync('/', join(root, 'out'));
    writeFileSync(join(root, 'last'), 'last');
  },
];

function driverFor(ref: string) {
  const driver = FETCH_DRIVERS.find((each) => each.accepts(ref));
  assert(driver !== undefined);
  return driver;
}

async function pull(ref: string, cacheDir = join(dir, 'cache')) {
  const fetcher = driverFor(ref).open({ cacheDir });
  const { digest, pinned } = await fetcher.resolve(ref, signal);
  const root = mkdtempSync(join(dir, 'root-'));
  const progress: number[] = [];
  const base = await fetcher.fetch(pinned, root, {
    signal,
    onProgress: ({ doneBytes }) => progress.push(doneBytes),
  });
  return { digest, pinned, root, base, progress };
}

function expectImage(root: string): void {
  assert.deepEqual(readdirSync(root).toSorted(), [
    ...['big', 'etc', 'last', 'lib', 'out', 'read-only', 'usr'],
  ]);
  assert.deepEqual(readdirSync(join(root, 'etc')), ['old']);
  assert.deepEqual(readdirSync(join(root, 'etc/old')), ['two']);
  assert.equal(readlinkSync(join(root, 'lib')), 'usr/lib');
  assert.equal(readFileSync(join(root, 'usr/lib/added'), 'utf8'), 'through the link');
  assert(readFileSync(join(root, 'big')).equals(BIG));
  const program = lstatSync(join(root, 'usr/lib/program'));
  assert.equal(program.mode & 0o7777, 0o755);
  assert.equal(program.ino, lstatSync(join(root, 'usr/lib/same')).ino);
  assert.equal(lstatSync(join(root, 'read-only')).mode & 0o777, 0o555);
}

test('a ref goes to the fetcher that reads it', () => {
  for (const [ref, name] of [
    ['/dir', 'directory'],
    ['./dir', 'directory'],
    ['dir:x', 'directory'],
    ['oci:/x:tag', 'oci'],
    ['tar:x', 'tar'],
    ['./x.tar.zst', 'tar'],
    ['/x.tar.gz.d', 'directory'],
    ['home:builder', 'home'],
    ['docker-export:debian:12', 'docker-export'],
    ['podman-export:debian:12', 'podman-export'],
    ['debian:12', 'registry'],
    ['docker://host:5000/a/b@sha256:' + '0'.repeat(64), 'registry'],
  ] as const) {
    assert.equal(driverFor(ref).name, name, ref);
  }
});

test('names of images are read as container tools read them', () => {
  const hub = 'registry-1.docker.io';
  for (const [text, wanted] of [
    ['debian', [hub, 'library/debian', 'latest']],
    ['docker.io/ocaml/opam:debian-12', [hub, 'ocaml/opam', 'debian-12']],
    ['ghcr.io/a/b', ['ghcr.io', 'a/b', 'latest']],
    ['localhost:5000/x:1', ['localhost:5000', 'x', '1']],
    [`debian:12@sha256:${'a'.repeat(64)}`, [hub, 'library/debian', `sha256:${'a'.repeat(64)}`]],
  ] as const) {
    const ref = parseRegistryRef(text);
    assert.deepEqual([ref?.host, ref?.name, ref?.reference], wanted, text);
  }
  for (const wrong of ['', 'UPPER', 'a//b', 'x:y:z', 'https://x/y', 'a b']) {
    assert.equal(parseRegistryRef(wrong), undefined, wrong);
  }
});

test('a directory is copied whole, as a root or as a home and a prefix', async () => {
  const from = join(dir, 'from');
  mkdirSync(join(from, 'home'), { recursive: true });
  mkdirSync(join(from, 'prefix'));
  writeFileSync(join(from, 'home/file'), 'x');
  const home = await pull(from);
  assert.equal(home.base.layout, 'home');
  writeFileSync(join(from, 'bin'), 'x');
  const root = await pull(from);
  assert.equal(root.base.layout, 'root');
  assert.notEqual(root.digest, home.digest);
  await assert.rejects(pull(join(dir, 'nothing')), { code: 'missing' });
});

describe('a tar file', () => {
  const from = join(dir, 'to-pack');
  const tar = (name: string, ...options: string[]) => {
    execFileSync('tar', ['-C', from, ...options, '-cf', join(dir, name), '.']);
    return join(dir, name);
  };
  before(() => {
    mkdirSync(join(from, 'etc'), { recursive: true });
    writeFileSync(join(from, 'etc/file'), 'packed', { mode: 0o640 });
    writeFileSync(join(from, 'etc/.wh.file'), 'no whiteout');
    linkSync(join(from, 'etc/file'), join(from, 'same'));
  });

  test('is unpacked whole, plain and packed', async () => {
    for (const ref of [
      tar('plain.tar'),
      tar('packed.tgz', '-z'),
      tar('packed.tar.zst', '--zstd'),
      `tar:${tar('any-name', '-z')}`,
    ]) {
      const { root, base, digest } = await pull(ref);
      assert.equal(base.layout, 'root');
      assert.match(digest, /^sha256:[0-9a-f]{64}$/);
      assert.equal(readFileSync(join(root, 'etc/.wh.file'), 'utf8'), 'no whiteout');
      const file = lstatSync(join(root, 'etc/file'));
      assert.deepEqual([file.mode & 0o777, file.ino], [0o640, lstatSync(join(root, 'same')).ino]);
    }
  });

  test('that is cut short, is packed otherwise or is none is refused with the reason', async () => {
    const whole = readFileSync(tar('whole.tar.gz', '-z'));
    writeFileSync(join(dir, 'cut.tar.gz'), whole.subarray(0, whole.length - 40));
    await assert.rejects(pull(join(dir, 'cut.tar.gz')), { code: 'corrupt' });
    writeFileSync(join(dir, 'none.tar'), 'this is no tar file'.repeat(100));
    await assert.rejects(pull(join(dir, 'none.tar')), { code: 'corrupt' });
    await assert.rejects(pull(`tar:${tar('packed.bz2', '-j')}`), {
      code: 'refused',
      message: /bzip2; pack it by gzip or zstd/,
    });
    await assert.rejects(pull(join(dir, 'missing.tar')), { code: 'missing' });
  });
});

test('a user’s home is a base without what is the user’s own business', async (context) => {
  if (process.getuid?.() !== 0) return context.skip('homes of others are for root to read');
  const home = join(dir, 'a-home');
  const prefix = join(dir, 'a-prefix');
  for (const each of [join(home, '.ssh'), prefix]) mkdirSync(each, { recursive: true });
  writeFileSync(join(home, '.ssh/id_ed25519'), 'private');
  writeFileSync(join(home, '.profile'), 'export A=1');
  writeFileSync(join(prefix, 'tool'), 'tool');
  const user = `pomona-t${process.pid}`;
  execFileSync('useradd', ['--home-dir', home, '--no-create-home', user]);
  try {
    const { root, base } = await pull(`home:${user},${prefix}`);
    assert.deepEqual(base, { layout: 'home', env: {}, prefixPath: prefix });
    assert.deepEqual(readdirSync(join(root, 'home')), ['.profile']);
    assert.deepEqual(readdirSync(join(root, 'prefix')), ['tool']);
    await assert.rejects(pull('home:nobody-of-that-name'), { code: 'missing' });
    await assert.rejects(pull(`home:${user},not/absolute`), { code: 'missing' });
  } finally {
    execFileSync('userdel', [user], { stdio: 'ignore' });
  }
});

describe('docker (a fake of its client)', () => {
  const state = join(dir, 'docker');
  const path = process.env['PATH'] ?? '';
  before(() => {
    process.env['PATH'] = `${fileURLToPath(new URL('../fakes/docker', import.meta.url))}:${path}`;
    process.env['FAKE_DOCKER'] = state;
    const image = join(state, 'registry/app');
    mkdirSync(join(image, 'rootfs/bin'), { recursive: true });
    writeFileSync(join(image, 'env'), 'PATH=/bin\nA=b=c\n');
    writeFileSync(join(image, 'rootfs/bin/tool'), 'tool', { mode: 0o755 });
  });
  after(() => {
    process.env['PATH'] = path;
    delete process.env['FAKE_DOCKER'];
  });

  test('exports an image, which it pulls where it has it not, and leaves no container', async () => {
    mkdirSync(join(state, 'containers'), { recursive: true });
    writeFileSync(join(state, 'containers', 'f'.repeat(64)), 'x\norg.pomona.fetch=1@1\n');
    const { root, base, digest, pinned } = await pull('docker-export:app');
    assert.deepEqual(base, { layout: 'root', env: { PATH: '/bin', A: 'b=c' } });
    assert.equal(readFileSync(join(root, 'bin/tool'), 'utf8'), 'tool');
    assert.equal(pinned, `docker-export:${digest}`);
    assert.deepEqual(readdirSync(join(state, 'containers')), []);
  });

  test('that has no such image, breaks off or does not run is told as such', async () => {
    await assert.rejects(pull('docker-export:none'), { code: 'missing', message: /none/ });
    await assert.rejects(pull('docker-export:--privileged'), { code: 'missing' });
    writeFileSync(join(state, 'export-breaks'), '');
    await assert.rejects(pull('docker-export:app'), {
      code: 'unreachable',
      message: /unexpected EOF/,
    });
    assert.deepEqual(readdirSync(join(state, 'containers')), []);
    writeFileSync(join(state, 'down'), '');
    await assert.rejects(pull('docker-export:app'), {
      code: 'unreachable',
      message: /Is the docker daemon running/,
    });
  });
});

describe('podman', { skip: podmanMissing() }, () => {
  before(() => {
    const storage = join(dir, 'storage.conf');
    const [graph, run] = [join(dir, 'podman/root'), join(dir, 'podman/run')];
    const lines = ['[storage]', 'driver = "vfs"', `graphroot = "${graph}"`, `runroot = "${run}"`];
    writeFileSync(storage, lines.join('\n'));
    process.env['CONTAINERS_STORAGE_CONF'] = storage;
  });
  after(() => {
    delete process.env['CONTAINERS_STORAGE_CONF'];
  });

  test('exports an image and leaves no container', async () => {
    const from = join(dir, 'podman-content');
    mkdirSync(join(from, 'etc'), { recursive: true });
    writeFileSync(join(from, 'etc/file'), 'by podman', { mode: 0o640 });
    const tarball = join(dir, 'podman.tar');
    execFileSync('tar', ['-C', from, '-cf', tarball, '.']);
    const podman = (...args: string[]) =>
      execFileSync('podman', args, { encoding: 'utf8', stdio: 'pipe' }).trim();
    podman('import', '--change', 'ENV=BY=podman', tarball, 'made:1');
    podman('create', '--label=org.pomona.fetch=1@1', 'made:1', '/x');
    const { root, base } = await pull('podman-export:made:1');
    assert.equal(readFileSync(join(root, 'etc/file'), 'utf8'), 'by podman');
    assert.equal(lstatSync(join(root, 'etc/file')).mode & 0o777, 0o640);
    assert.equal(base.env['BY'], 'podman');
    assert.equal(podman('ps', '--all', '--quiet'), '');
  });
});

function podmanMissing(): string | false {
  const { error } = spawnSync('podman', ['--version']);
  return error !== undefined && 'podman is not installed';
}

describe('an OCI image layout', () => {
  const layout = join(dir, 'layout');
  let made: ReturnType<typeof makeLayout>;
  before(() => {
    made = makeLayout(layout, LAYERS, ['PATH=/usr/bin', 'EMPTY=', 'A=b=c']);
  });

  test('is unpacked with whiteouts, links and modes, never outside', async () => {
    const { root, base, digest, progress } = await pull(`oci:${layout}:v1`);
    expectImage(root);
    assert.deepEqual(base, { layout: 'root', env: { PATH: '/usr/bin', EMPTY: '', A: 'b=c' } });
    assert.equal(digest, made.manifest.digest);
    assert(
      progress.length > 1 && progress.every((value, index) => value >= (progress[index - 1] ?? 0)),
    );
    assert.equal((await pull(`oci:${layout}@${digest}`)).digest, digest);
  });

  test('whose parts are wrong or missing is refused with the reason', async () => {
    await assert.rejects(pull(`oci:${layout}:v2`), { code: 'missing', message: /it has: v1/ });
    await assert.rejects(pull(`oci:${join(dir, 'no')}:v1`), { code: 'missing' });
    const [layer] = made.layers;
    const path = join(layout, 'blobs', (layer?.digest ?? '').replace(':', '/'));
    const good = readFileSync(path);
    const bad = Buffer.from(good);
    bad[bad.length >> 1] = (bad[bad.length >> 1] ?? 0) ^ 1;
    for (const content of [bad, good.subarray(0, 100)]) {
      writeFileSync(path, content);
      await assert.rejects(pull(`oci:${layout}:v1`), { code: 'corrupt' });
    }
    writeFileSync(path, good);
  });

  test('that tries to write outside its root does not', async () => {
    const evil = join(dir, 'evil');
    const victim = join(dir, 'victim');
    mkdirSync(victim);
    makeLayout(evil, [
      (root) => symlinkSync(victim, join(root, 'way')),
      (root) => {
        mkdirSync(join(root, 'way'));
        writeFileSync(join(root, 'way/file'), 'escaped');
        writeFileSync(join(root, 'way/.wh.keep'), '');
      },
    ]);
    writeFileSync(join(victim, 'keep'), 'kept');
    const { root } = await pull(`oci:${evil}:v1`);
    assert.deepEqual(readdirSync(victim), ['keep']);
    assert(existsSync(join(root, victim, 'file')) || existsSync(join(root, 'way/file')));
  });

  const noBuildah = spawnSync('buildah', ['--version']).error !== undefined;
  test(
    'is read as buildah writes it',
    { skip: noBuildah && 'buildah is not installed' },
    async () => {
      const work = join(dir, 'buildah');
      mkdirSync(join(work, 'content'), { recursive: true });
      writeFileSync(join(work, 'content/file'), 'from buildah', { mode: 0o640 });
      const where = [
        '--root',
        join(work, 'root'),
        '--runroot',
        join(work, 'run'),
        '--storage-driver',
        'vfs',
      ];
      const buildah = (...args: string[]) =>
        execFileSync('buildah', [...where, ...args], { encoding: 'utf8', stdio: 'pipe' }).trim();
      const container = buildah('from', 'scratch');
      buildah('config', '--env', 'BY=buildah', container);
      buildah('copy', '-q', container, join(work, 'content'), '/in');
      buildah('commit', '-q', container, 'made');
      buildah('push', '-q', 'made', `oci:${join(work, 'layout')}:tag`);
      buildah('rm', '--all');
      const { root, base } = await pull(`oci:${join(work, 'layout')}:tag`);
      assert.equal(readFileSync(join(root, 'in/file'), 'utf8'), 'from buildah');
      assert.equal(lstatSync(join(root, 'in/file')).mode & 0o777, 0o640);
      assert.equal(base.env['BY'], 'buildah');
    },
  );
});

describe('a registry', () => {
  const layout = join(dir, 'served');
  let registry: RegistryServer;
  let made: ReturnType<typeof makeLayout>;
  before(async () => {
    made = makeLayout(layout, LAYERS);
    registry = await RegistryServer.start(layout);
  });
  after(() => registry.close());
  afterEach(() => {
    registry.trouble = () => false;
    registry.requests.length = 0;
  });
  const ref = () => `docker://${registry.host}/team/app:v1`;

  test('gives an image to who asks with the token that it wants', async () => {
    const { root, digest, pinned } = await pull(ref());
    expectImage(root);
    assert.equal(digest, made.manifest.digest);
    assert.equal(pinned, `docker://${registry.host}/team/app@${digest}`);
    assert(registry.requests.some((url) => url.startsWith('/token?service=test&scope=repository')));
  });

  test('is asked for no layer twice', async () => {
    await pull(ref());
    registry.requests.length = 0;
    await pull(ref());
    assert.deepEqual(
      registry.requests.filter((url) => url.includes('/blobs/')),
      [],
    );
  });

  test('that cuts connections and is busy is asked again, for what is missing', async () => {
    const [big] = made.layers;
    let cuts = 0;
    let busy = 0;
    registry.trouble = (request, response) => {
      if (request.url?.includes('/manifests/') === true && busy < 2) {
        busy += 1;
        response.writeHead(busy === 1 ? 429 : 503).end();
        return true;
      }
      if (request.url?.endsWith(big?.digest ?? '-') !== true || cuts > 0) return false;
      cuts += 1;
      const bytes = readFileSync(join(layout, 'blobs', (big?.digest ?? '').replace(':', '/')));
      response.writeHead(200, { 'content-length': bytes.length });
      response.write(bytes.subarray(0, 1_000_000), () => setTimeout(() => response.destroy(), 50));
      return true;
    };
    const { root } = await pull(ref(), join(dir, 'fresh-cache'));
    expectImage(root);
    assert(
      registry.requests.some((url) => /\/blobs\/.* bytes=[1-9]\d*-$/.test(url)),
      'the transfer began anew',
    );
  });

  test('is asked only for the rest of what an interrupted pull left', async () => {
    const [big] = made.layers;
    const hex = (big?.digest ?? '').slice('sha256:'.length);
    const bytes = readFileSync(join(layout, 'blobs/sha256', hex));
    const cache = join(dir, 'left-cache');
    mkdirSync(join(cache, 'blobs'), { recursive: true });
    const left = join(cache, 'blobs', `${hex}.partial`);
    writeFileSync(left, bytes.subarray(0, 1_000));
    expectImage((await pull(ref(), cache)).root);
    assert(registry.requests.some((url) => url.endsWith(`${hex} bytes=1000-`)));
    rmSync(join(cache, 'blobs', hex));
    writeFileSync(left, 'not the beginning of it');
    expectImage((await pull(ref(), cache)).root);
  });

  test('that sends something else is not believed', async () => {
    registry.trouble = (request, response) => {
      const layer = made.layers.find(({ digest }) => request.url?.endsWith(digest));
      if (layer === undefined) return false;
      response.end(Buffer.alloc(layer.size));
      return true;
    };
    await assert.rejects(pull(ref(), join(dir, 'other-cache')), { code: 'corrupt' });
  });

  test('that has no such image, or does not answer, is told as such', async () => {
    await assert.rejects(pull(`docker://${registry.host}/team/none:v1`), { code: 'missing' });
    registry.trouble = (_request, response) => {
      response.writeHead(403).end('no');
      return true;
    };
    await assert.rejects(pull(ref()), { code: 'refused', message: /docker login 127/ });
  });
});
