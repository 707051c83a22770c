/** An S-expression to be written: an atom or a list. */
export type SexpValue = string | readonly SexpValue[];

/** On one line with no more spaces than needed, as sexplib's machine form has it. */
export function machineSexp(value: SexpValue): string {
  return typeof value === 'string' ? atomText(value) : machineList(value);
}

function machineList(items: readonly SexpValue[]): string {
  let text = '(';
  let afterPlain = false;
  for (const item of items) {
    const next = machineSexp(item);
    const plain = typeof item === 'string' && !next.startsWith('"');
    text += afterPlain && plain ? ` ${next}` : next;
    afterPlain = plain;
  }
  return `${text})`;
}

/** Quoted only where reading it back needs that. */
export function atomText(atom: string): string {
  return needsQuotes(atom) ? quoted(atom) : atom;
}

function needsQuotes(atom: string): boolean {
  return atom === '' || /[^\x21-\x7e]|["();\\]|#\||\|#/.test(atom) || atom.startsWith('#;');
}

function quoted(atom: string): string {
  let text = '"';
  for (const byte of Buffer.from(atom)) {
    const char = String.fromCharCode(byte);
    const named = NAMED[char];
    if (named !== undefined) text += named;
    else if (byte >= 0x20 && byte < 0x7f) text += char;
    else text += `\\${String(byte).padStart(3, '0')}`;
  }
  return `${text}"`;
}

const NAMED: Readonly<Record<string, string>> = {
  ...{ '"': '\\"', '\\': '\\\\', '\n': '\\n', '\t': '\\t', '\r': '\\r', '\b': '\\b' },
};
