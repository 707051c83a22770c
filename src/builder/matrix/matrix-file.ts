import { z } from 'zod';
import { CELL_STATUSES } from './report.ts';

const nameSchema = z
  .string()
  .regex(/^[A-Za-z0-9][\w.+-]*$/, 'expected letters, digits, ".", "_", "+" and "-"');
const variablesSchema = z.record(
  z.string().regex(/^[A-Za-z]\w*$/, 'expected a variable name such as from or version'),
  z.union([z.string(), z.number(), z.boolean()]).transform(String),
);
const rowSchema = z.union([
  nameSchema.transform((name) => ({ name, variables: {} })),
  z.looseObject({ name: nameSchema }).transform(({ name, ...rest }, context) => {
    const variables = variablesSchema.safeParse(rest);
    if (variables.success) return { name, variables: variables.data };
    for (const { path, message } of variables.error.issues) {
      context.addIssue({ code: 'custom', path: [...path], message });
    }
    return z.NEVER;
  }),
]);

/** A matrix file, as people write it. */
export const matrixFileSchema = z.strictObject({
  name: nameSchema.describe('Name of the matrix, in reports'),
  spec: z
    .string()
    .min(1)
    .describe('The spec of every cell, with ${{ variables }}; or a file that holds it'),
  rows: z.array(rowSchema).min(1).describe('What is checked: names, or names with variables'),
  columns: z
    .record(nameSchema, variablesSchema)
    .refine((columns) => Object.keys(columns).length > 0, 'expected at least one column')
    .describe('What it is checked on: names, each with its variables'),
  statuses: z
    .record(z.string().regex(/^\d{1,3}$/, 'expected an exit code'), z.enum(CELL_STATUSES))
    .default({})
    .describe('What exit codes of a failing command mean; any other is bad'),
  skip: z
    .array(
      z.strictObject({ row: nameSchema, column: nameSchema.exactOptional(), reason: z.string() }),
    )
    .default([])
    .describe('Cells that are not built, with the reason'),
  parallel: z.int().min(1).max(1_000).exactOptional().describe('Builds at once; default: CPUs'),
});

export type MatrixFile = z.output<typeof matrixFileSchema>;
