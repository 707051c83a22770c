import type { Command } from 'commander';
import { program } from '../../src/cli/main.ts';
import { code, table } from './markdown.ts';

/** The page of every command with its options and examples. */
export async function cliPage(): Promise<string> {
  const root = await program();
  const index = root.commands.map((command) => [
    `[${command.name()}](#pomona-${command.name()})`,
    command.description(),
  ]);
  return `# Commands

Every command takes \`--help\`. Most take \`--json\`, and then print nothing else on standard output.
Exit codes: 0 success, 1 a refusal or a failure, 2 wrong usage; \`pomona run\` ends with its job's own
code, 124 (time-out), 125 (Pomona failed) or 130 (interrupted).

${table(['command', 'what it does'], index)}

${root.commands.map((command) => commandText(command, ['pomona'])).join('\n\n')}
`;
}

function commandText(command: Command, above: readonly string[]): string {
  const path = [...above, command.name()];
  const options = command.options.map((option) => [
    code(option.flags),
    option.description,
    option.defaultValue === undefined || option.defaultValue === false
      ? ''
      : code(JSON.stringify(option.defaultValue)),
  ]);
  const parts = [
    `${'#'.repeat(path.length)} ${path.join(' ')}`,
    command.description(),
    code(`${path.join(' ')} ${command.usage()}`),
    ...(options.length === 0 ? [] : [table(['option', 'meaning', 'default'], options)]),
    ...helpAfter(command),
    ...command.commands.map((inner) => commandText(inner, path)),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

/** What a command adds to its help: notes and examples. */
function helpAfter(command: Command): string[] {
  let after = '';
  const write = (text: string) => void (after += text);
  command.configureOutput({ writeOut: write });
  command.outputHelp();
  const end = command.helpInformation().length;
  const text = after.slice(end).trim();
  return text === '' ? [] : [`\`\`\`text\n${text}\n\`\`\``];
}
