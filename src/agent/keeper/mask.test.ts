import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Masker, secretForms } from './mask.ts';

/** The same rule over the whole text at once: leftmost first, there the longest. */
function maskWhole(text: string, secrets: readonly string[]): string {
  let result = '';
  for (let at = 0; at < text.length;) {
    const hit = secrets
      .toSorted((a, b) => b.length - a.length)
      .find((secret) => text.startsWith(secret, at));
    result += hit === undefined ? text[at] : '***';
    at += hit?.length ?? 1;
  }
  return result;
}

test('however the output is cut, secrets are masked as in the whole', () => {
  const letters = fc.constantFrom('a', 'b', 'c');
  const word = fc.string({ unit: letters, minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(
      fc.array(word, { minLength: 1, maxLength: 4 }),
      fc.array(fc.string({ unit: letters, maxLength: 12 }), { maxLength: 12 }),
      (secrets, chunks) => {
        const forms = [...new Set(secrets)].toSorted((a, b) => b.length - a.length);
        const masker = new Masker(forms.map((form) => Buffer.from(form)));
        const shown = chunks.map((chunk) => masker.push(Buffer.from(chunk)).toString());
        assert.equal(shown.join('') + masker.end().toString(), maskWhole(chunks.join(''), forms));
      },
    ),
    { numRuns: 2000 },
  );
});

test('a secret shows neither whole, nor by its lines, nor in base64', () => {
  const masker = new Masker(secretForms(['first-line\nsecond-line', 'abc']));
  const text = `x second-line ${Buffer.from('first-line\nsecond-line').toString('base64')} abc\n`;
  assert.equal(masker.push(Buffer.from(text)).toString(), 'x *** *** abc\n');
});

test('output that cannot be a secret is not held back', () => {
  const masker = new Masker(secretForms(['hunter22']));
  assert.equal(masker.push(Buffer.from('progress: hunt')).toString(), 'progress: ');
  assert.equal(masker.push(Buffer.from('ing 42%')).toString(), 'hunting 42%');
});
