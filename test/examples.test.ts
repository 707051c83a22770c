import assert from 'node:assert/strict';
import { glob, readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { parseSpec } from '../src/builder/spec/parse.ts';
import { specToDockerfile } from '../src/builder/spec/dockerfile.ts';
import { specToSexp } from '../src/builder/spec/to-sexp.ts';
import { specToYaml } from '../src/builder/spec/to-yaml.ts';

test('every example is right, in both forms and as a Dockerfile', async () => {
  let count = 0;
  for await (const file of glob('examples/*.{spec,yaml}')) {
    const { spec } = parseSpec(await readFile(file, 'utf8'), file);
    for (const written of [specToSexp(spec), specToYaml(spec)]) {
      assert.deepEqual(parseSpec(written, file).spec, spec);
    }
    assert.match(specToDockerfile(spec, { buildkit: true }).text, /^FROM /m);
    count += 1;
  }
  assert.equal(count, 4);
});
