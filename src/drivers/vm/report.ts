import type { DriverReport } from '../../domain/host.ts';
import { tool } from '../../platform/tool.ts';

/** What a driver says of itself that calls a tool of the user's: the tool's version, or why it does not work. */
export async function reportOf(
  driver: { readonly name: string; readonly rank: number; readonly tool?: string },
  missing: string,
): Promise<DriverReport> {
  const { name, rank, tool: program = name } = driver;
  const report = { name, rank, isolation: 'vm' } as const;
  try {
    const { code, stdout, why } = await tool(program, ['--version']);
    const detail = code === 0 ? `${program} ${stdout.trim()}` : `${program} does not work: ${why}`;
    return { ...report, available: code === 0, detail };
  } catch {
    return { ...report, available: false, detail: missing };
  }
}
