import { mkdtemp, statfs } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { tmpdir } from 'node:os';
import { Command } from 'commander';
import { machineFacts, probeAll } from '../agent/host-facts.ts';
import type { DriverReport } from '../domain/host.ts';
import { SANDBOX_DRIVERS } from '../drivers/sandbox/drivers.ts';
import { dhcpState, dhcpWarning } from '../drivers/vm/dhcp-leases.ts';
import { STORE_DRIVERS } from '../drivers/store/drivers.ts';
import { VM_DRIVERS } from '../drivers/vm/drivers.ts';
import { defaultDataDir } from '../platform/data-dir.ts';
import { removeTree } from '../platform/tree.ts';
import { ExitError } from './errors.ts';
import { printJson, printTable, size } from './output.ts';

/** Less free disk than this is worth a warning. */
const LOW_DISK_BYTES = 5 * 2 ** 30;

export function command(): Command {
  return new Command('doctor')
    .description('check this machine: which drivers work, which are chosen, and why')
    .option('--data <dir>', 'data directory to check')
    .option('--json', 'print JSON')
    .action(doctor);
}

async function doctor(options: { data?: string; json?: boolean }): Promise<void> {
  const dataDir = resolve(options.data ?? defaultDataDir());
  const root = await probeRoot(dataDir);
  try {
    const [machine, sandboxes, stores, vms] = await Promise.all([
      machineFacts(),
      probeAll(SANDBOX_DRIVERS, (driver) => driver.probe()),
      probeAll(STORE_DRIVERS, (driver) => driver.probe(join(root, driver.name))),
      probeAll(VM_DRIVERS, (driver) => driver.probe()),
    ]);
    const dhcp = await dhcpState();
    const dhcpMatter = dhcp === undefined ? undefined : dhcpWarning(dhcp);
    const { bavail, bsize } = await statfs(root);
    const diskFreeBytes = bavail * bsize;
    const families = { sandbox: sandboxes, store: stores, vm: vms };
    if (options.json === true) {
      printJson({
        ...{ machine, dataDir, diskFreeBytes, ...families },
        ...(dhcp === undefined ? {} : { dhcp }),
      });
    } else {
      const { os, osVersion, arch, cpus } = machine;
      process.stdout.write(`${os} ${osVersion} on ${arch}, ${cpus} CPUs\n`);
      process.stdout.write(`data directory ${dataDir}, ${size(diskFreeBytes)} free\n\n`);
      printTable(['FAMILY', 'DRIVER', 'STATUS', 'WHY'], rowsOf(families));
    }
    const failures = [
      ...(sandboxes.some((report) => report.available) ? [] : ['no sandbox works']),
      ...(stores.some((report) => report.available) ? [] : ['no store works']),
    ];
    if (diskFreeBytes < LOW_DISK_BYTES) {
      process.stderr.write(`pomona: only ${size(diskFreeBytes)} are free in ${dataDir}\n`);
    }
    if (dhcpMatter !== undefined) process.stderr.write(`pomona: ${dhcpMatter}\n`);
    if (failures.length > 0) throw new ExitError(1, failures.join('; '));
  } finally {
    await removeTree(root);
  }
}

/** Where stores are tried: in the data directory if it exists, since its file system decides. */
async function probeRoot(dataDir: string): Promise<string> {
  try {
    return await mkdtemp(join(dataDir, 'doctor-'));
  } catch {
    return mkdtemp(join(tmpdir(), 'pomona-doctor-'));
  }
}

function rowsOf(families: Readonly<Record<string, readonly DriverReport[]>>): string[][] {
  return Object.entries(families).flatMap(([family, reports]) => {
    const ranked = reports.toSorted((a, b) => b.rank - a.rank);
    // Pools name their VM driver; sandbox and store are chosen by rank.
    const chosen = family === 'vm' ? undefined : ranked.find((report) => report.available);
    return ranked.map((report) => [
      family,
      report.name,
      report === chosen ? 'chosen' : report.available ? 'works' : 'no',
      report.detail,
    ]);
  });
}
