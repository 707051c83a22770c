import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const POMONA = fileURLToPath(new URL('../../bin/pomona', import.meta.url));

/** What is typed, and what is offered for its last word. */
const CASES: readonly (readonly [string, readonly string[]])[] = [
  ['pomona wor', ['worker']],
  ['pomona job ca', ['cancel']],
  ['pomona spec con', ['convert']],
  ['pomona build app.spec --no-c', ['--no-cache']],
  ['pomona image push --ag', ['--agent-data']],
];

describe('completion', () => {
  const dir = mkdtempSync(join(tmpdir(), 'pomona-completion-'));
  before(() => {
    for (const shell of ['bash', 'zsh', 'fish']) {
      writeFileSync(join(dir, shell), execFileSync(POMONA, ['completion', shell]));
    }
  });
  after(() => rmSync(dir, { recursive: true }));

  const missing = (shell: string) =>
    spawnSync(shell, ['--version']).error !== undefined && `${shell} is not installed`;

  test('in bash', { skip: missing('bash') }, () => {
    for (const [line, offered] of CASES) {
      const script = `source "$1"; read -ra COMP_WORDS <<< "$2"; COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _pomona; echo "\${COMPREPLY[*]}"`;
      const out = execFileSync('bash', ['-c', script, 'bash', join(dir, 'bash'), line]);
      assert.deepEqual(out.toString().trim().split(' '), offered, line);
    }
  });

  test('in zsh', { skip: missing('zsh') }, () => {
    for (const [line, offered] of CASES) {
      // As zsh calls it, with what filters and shows the words of its own in place of the terminal.
      const script = `autoload -U compinit; compinit -D -u; source "$1"
        compadd() { shift; for w in "$@"; do [[ $w == \${words[CURRENT]}* ]] && print -- $w; done }
        _files() { : }
        words=(\${=2}); CURRENT=$#words; PREFIX=\${words[CURRENT]}; _pomona`;
      const out = execFileSync('zsh', ['-f', '-c', script, 'zsh', join(dir, 'zsh'), line]);
      assert.deepEqual(out.toString().trim().split('\n'), offered, line);
    }
  });

  test('in fish', { skip: missing('fish') }, () => {
    for (const [line, offered] of CASES) {
      const script = `source $argv[1]; complete -C $argv[2]`;
      const out = execFileSync('fish', ['-N', '-c', script, join(dir, 'fish'), line], {
        env: { ...process.env, HOME: dir },
      });
      assert.deepEqual(out.toString().trim().split('\n'), offered, line);
    }
  });
});
