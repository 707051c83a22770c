import { Command } from 'commander';
import { writeFileAtomic } from '../platform/atomic-file.ts';
import { TOKEN_ROLES, type Role } from '../protocol/api/resources.ts';
import { UsageError } from './errors.ts';
import {
  clientFor,
  durationOption,
  integerOption,
  withConnection,
  type CommonOptions,
} from './options.ts';
import { ago, printJson, printTable } from './output.ts';

export function command(): Command {
  const token = new Command('token').description('tokens for people, programs and new hosts');
  withConnection(token.command('create <name>'))
    .description('make an API token; its text is shown this once')
    .requiredOption('--role <role>', TOKEN_ROLES.join(', '))
    .option('--ttl <duration>', 'how long it is valid, such as 30d', durationOption)
    .action(create);
  withConnection(token.command('list'))
    .description('list API tokens')
    .action(async (options: CommonOptions) => {
      const { items } = await (await clientFor(options)).call('listTokens', {});
      if (options.json === true) return printJson(items);
      printTable(
        ['ID', 'NAME', 'ROLE', 'MADE', 'LAST USED'],
        items.map((each) => [
          each.id,
          each.name,
          each.role,
          ago(each.createdAt),
          ago(each.lastUsedAt),
        ]),
      );
    });
  withConnection(token.command('revoke <id>'))
    .description('revoke an API token')
    .action(async (id: string, options: CommonOptions) => {
      await (await clientFor(options)).call('revokeToken', { params: { id } });
    });
  withConnection(token.command('join'))
    .description('make a token with which agents join')
    .option('--ttl <duration>', 'how long it is valid', durationOption, 3_600_000)
    .option('--uses <n>', 'how many hosts may join with it', integerOption, 1)
    .option('--output <file>', 'write it to a file that only you can read')
    .action(join);
  return token;
}

async function create(
  name: string,
  options: CommonOptions & { role: string; ttl?: number },
): Promise<void> {
  if (!TOKEN_ROLES.includes(options.role as Role)) {
    throw new UsageError(`--role expects one of ${TOKEN_ROLES.join(', ')}, not ${options.role}`);
  }
  const ttl = options.ttl === undefined ? {} : { ttlMs: options.ttl };
  const client = await clientFor(options);
  const made = await client.call('createToken', {
    body: { name, role: options.role as Role, ...ttl },
  });
  if (options.json === true) return printJson(made);
  process.stdout.write(`${made.token}\n`);
}

async function join(
  options: CommonOptions & { ttl: number; uses: number; output?: string },
): Promise<void> {
  const client = await clientFor(options);
  const made = await client.call('createJoinToken', {
    body: { ttlMs: options.ttl, uses: options.uses },
  });
  if (options.output !== undefined) {
    await writeFileAtomic(options.output, `${made.token}\n`, { mode: 0o600 });
  } else if (options.json === true) {
    printJson(made);
  } else {
    process.stdout.write(`${made.token}\n`);
  }
}
