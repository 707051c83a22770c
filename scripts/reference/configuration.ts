import { configJsonSchema } from '../../src/protocol/config/json-schema.ts';
import { code, defaultOf, kindOf, table, type Schema } from './markdown.ts';

/** The page of every key of `pomona.yaml`. */
export function configurationPage(): string {
  const schema = configJsonSchema() as Schema;
  return `# pomona.yaml

The configuration of \`pomona up\` and \`pomona serve\`: \`--config FILE\`, or \`pomona.yaml\` in the data
directory. Every key may be left out. Durations are written as \`90s\`, \`30m\`, \`2h\` or \`7d\`, sizes as
\`512MiB\` or \`4GB\`. \`pomona config check FILE\` names what is wrong by line and column. For editors:

\`\`\`yaml
# yaml-language-server: $schema=pomona.schema.json
\`\`\`

with [pomona.schema.json](pomona.schema.json) beside it, or from \`pomona config schema\`.

${table(HEAD, rowsOf(schema, ''))}

## Integrations

Each entry of \`integrations\` is of one of these kinds.

${kindsOf(schema)
  .map(([kind, one]) => `### ${kind}\n\n${table(HEAD, rowsOf(one, ''))}`)
  .join('\n\n')}
`;
}

const HEAD = ['key', 'value', 'default', 'meaning'];

/** Schemas of integrations by their kind. */
function kindsOf(schema: Schema): [string, Schema][] {
  const all = schema.properties?.['integrations']?.items;
  return (all?.oneOf ?? all?.anyOf ?? []).map((one) => [
    String(one.properties?.['kind']?.const),
    one,
  ]);
}

function rowsOf(schema: Schema, path: string): string[][] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, inner]) => {
    const here = path === '' ? name : `${path}.${name}`;
    const below =
      inner.type === 'array' ? rowsOf(inner.items ?? {}, `${here}[]`) : rowsOf(inner, here);
    const required = schema.required?.includes(name) === true ? ' (needed)' : '';
    const row = [code(here), kindOf(inner) + required, defaultOf(inner), inner.description ?? ''];
    // The default of what has keys of its own is told by those keys.
    return [below.length > 0 ? row.with(2, '') : row, ...below];
  });
}
