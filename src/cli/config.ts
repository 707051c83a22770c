import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { Command } from 'commander';
import { configJsonSchema } from '../protocol/config/json-schema.ts';
import { loadConfig } from '../protocol/config/load.ts';
import { UsageError } from './errors.ts';
import { printJson } from './output.ts';

export function command(): Command {
  const config = new Command('config').description('check a configuration, describe it to editors');
  config
    .command('check <file>')
    .option('--json', 'print the configuration as it is understood, with all defaults')
    .description('check a pomona.yaml; `-` reads it from standard input')
    .addHelpText(
      'after',
      `
Example:
  pomona config check pomona.yaml`,
    )
    .action(async (file: string, options: { json?: boolean }) => {
      const config = loadConfig(await contentOf(file), file === '-' ? 'standard input' : file);
      if (options.json === true) return printJson(config);
      const pools = config.pools.map((pool) => pool.name).join(', ');
      process.stdout.write(`${file} is right; pools: ${pools}\n`);
    });
  config
    .command('schema')
    .description('print the JSON Schema of pomona.yaml')
    .addHelpText(
      'after',
      `
Editors with a YAML language server use it when the file begins with
  # yaml-language-server: $schema=pomona.schema.json

Example:
  pomona config schema > pomona.schema.json`,
    )
    .action(() => printJson(configJsonSchema()));
  return config;
}

async function contentOf(file: string): Promise<string> {
  if (file === '-') return text(process.stdin);
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new UsageError(`${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
}
