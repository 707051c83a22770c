import { Option, type Command } from 'commander';
import { parseDuration, parseSize } from '../protocol/values.ts';
import { ApiClient } from './api-client.ts';
import { findConnection } from './connection.ts';
import { UsageError } from './errors.ts';

/** Options and arguments that several commands share. */

export interface CommonOptions {
  readonly data?: string;
  readonly json?: boolean;
}

export function withConnection(command: Command): Command {
  return command
    .addOption(new Option('--data <dir>', 'data directory of the controller on this machine'))
    .addOption(new Option('--json', 'print JSON'));
}

export async function clientFor(options: CommonOptions): Promise<ApiClient> {
  return new ApiClient(await findConnection(options.data));
}

/** For options that may be given several times. */
export function collect(value: string, before: string[] = []): string[] {
  return [...before, value];
}

/** Milliseconds of an option such as `--timeout 30m`. */
export function durationOption(value: string): number {
  const ms = parseDuration(value);
  if (ms === undefined)
    throw new UsageError(`expected a duration such as 90s or 30m, not ${value}`);
  return ms;
}

/** Bytes of an option such as `--rate 50MiB`. */
export function sizeOption(value: string): number {
  const bytes = parseSize(value);
  if (bytes === undefined || bytes <= 0) {
    throw new UsageError(`expected a size such as 50MiB or 200GiB, not ${value}`);
  }
  return bytes;
}

export function integerOption(value: string): number {
  if (!/^-?\d+$/.test(value)) throw new UsageError(`expected a whole number, not ${value}`);
  return Number(value);
}

/** Per cents of an option such as `--stages 10,50`. */
export function sharesOption(value: string): number[] {
  return value.split(',').map((text) => {
    if (/^\d+(\.\d+)?$/.test(text.trim())) return Number(text);
    throw new UsageError(`expected per cents such as 10,50, not ${text}`);
  });
}
